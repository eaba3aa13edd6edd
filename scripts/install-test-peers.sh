#!/bin/sh
# Installs the programs that the end-to-end tests run beside the gateway: real balancers, mail clients and mail servers.
# Debian and Ubuntu; as root, or through sudo. It does nothing when everything is there, and never starts a daemon.
set -eu
. "$(dirname "$0")/peers.sh"

# What is wanted is a capability, not a package: a machine that got it another way is left alone.
missing_peers() {
  for command in haproxy nginx chromium smtp-sink swaks curl openssl nc ip python3 perl strace faketime redis-server rspamd gsasl msmtp dovecot doveadm mbsync fetchmail offlineimap neomutt script pebble pebble-challtestsrv; do
    command -v "$command" >/dev/null 2>&1 || echo "$command"
  done
  # swaks loads these when it is asked for TLS or AUTH.
  for module in IO::Socket::SSL Net::SSLeay Authen::SASL; do
    perl -M"$module" -e 1 >/dev/null 2>&1 || echo "perl module $module"
  done
  # The system's Python, which the package is for; another one may stand before it on the PATH.
  /usr/bin/python3 -c 'import aiosmtpd' >/dev/null 2>&1 || echo "python3 module aiosmtpd"
  has_nginx_module stream || echo "nginx stream module"
  has_exim || echo "exim4"
  for service in lmtp imap; do
    [ -x "/usr/lib/dovecot/$service" ] || echo "dovecot's $service"
  done
}

# As packages Exim and Postfix exclude each other, so Exim is unpacked beside it, and only its libraries are installed.
# Where its own user may reach it, since it runs itself again as that one, and is set-user-ID root.
peers=/opt/postern-test-peers
exim=$peers/exim/usr/sbin/exim4
has_exim() {
  [ -x "$exim" ] && getent passwd Debian-exim >/dev/null && ! ldd "$exim" | grep -q 'not found'
}
unpack_exim() {
  has_exim && return
  getent passwd Debian-exim >/dev/null || as_root useradd -r -M -U -s /usr/sbin/nologin Debian-exim
  download=$(mktemp -d)
  chmod 755 "$download"
  (cd "$download" && apt-get download -q exim4-daemon-heavy)
  as_root mkdir -p "$peers/exim"
  as_root dpkg -x "$download"/exim4-daemon-heavy_*.deb "$peers/exim"
  rm -rf "$download"
}

begin
install_packages \
  haproxy nginx libnginx-mod-stream chromium swaks libio-socket-ssl-perl libnet-ssleay-perl libauthen-sasl-perl \
  curl openssl ca-certificates netcat-openbsd iproute2 python3 python3-aiosmtpd postfix strace faketime redis-server rspamd gsasl msmtp dovecot-lmtpd dovecot-imapd isync fetchmail offlineimap3 neomutt bsdutils pebble \
  libidn12 libspf2-2 libmariadb3 libpq5 libsqlite3-0 libgnutls-dane0
unpack_exim

end
