#!/bin/sh
# Installs the programs that `npm run bench` measures beside Postern: Dovecot, HAProxy, nginx with its mail and stream
# modules, and Postfix with its smtp-sink and smtp-source.
# Debian and Ubuntu; as root, or through sudo. It does nothing when everything is there, and never starts a daemon.
set -eu
. "$(dirname "$0")/peers.sh"

missing_peers() {
  for command in smtp-sink smtp-source dovecot haproxy nginx; do
    command -v "$command" >/dev/null 2>&1 || echo "$command"
  done
  for module in mail stream; do has_nginx_module $module || echo "nginx $module module"; done
  [ -x /usr/lib/dovecot/imap ] || command -v imapd >/dev/null 2>&1 || echo "dovecot-imapd"
}

begin
install_packages postfix dovecot-imapd haproxy nginx libnginx-mod-mail libnginx-mod-stream
end
