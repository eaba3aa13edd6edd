#!/bin/sh
# Installs the programs that `npm run bench` measures beside Postern: Dovecot, HAProxy, nginx with its mail and stream
# modules, and Postfix with its smtp-sink and smtp-source.
# Debian and Ubuntu; as root, or through sudo. It does nothing when everything is there, and never starts a daemon.
set -eu

missing_peers() {
  for command in smtp-sink smtp-source dovecot haproxy nginx; do
    command -v "$command" >/dev/null 2>&1 || echo "$command"
  done
  for module in mail stream; do has_nginx_module $module || echo "nginx $module module"; done
  [ -x /usr/lib/dovecot/imap ] || command -v imapd >/dev/null 2>&1 || echo "dovecot-imapd"
}

# The module is compiled in, or a file of its own.
has_nginx_module() {
  build=$(nginx -V 2>&1) || return 1
  case "$build" in *"--with-$1 "*) return 0 ;; esac
  [ -f "/usr/lib/nginx/modules/ngx_$1_module.so" ]
}

# Daemons of Debian packages start when installed unless this file says no. One that is there already stays as it is.
policy=/usr/sbin/policy-rc.d
forbid_daemons() {
  [ -e "$policy" ] && return
  trap 'as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

missing=$(missing_peers)
if [ -z "$missing" ]; then
  echo "install-bench-peers: everything is there"
  exit 0
fi
echo "install-bench-peers: missing: $(printf '%s' "$missing" | paste -sd, -)"

if ! command -v apt-get >/dev/null 2>&1; then
  echo "install-bench-peers: this script knows Debian and Ubuntu (apt-get) only. Install what is missing with this" >&2
  echo "system's package manager; a peer that is on the PATH is used whatever it came from." >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
  echo "install-bench-peers: run it as root, or install sudo: packages can be installed by root only." >&2
  exit 1
fi

forbid_daemons
as_root apt-get update -q
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
  postfix dovecot-imapd haproxy nginx libnginx-mod-mail libnginx-mod-stream </dev/null

missing=$(missing_peers)
if [ -n "$missing" ]; then
  echo "install-bench-peers: still missing: $(printf '%s' "$missing" | paste -sd, -)" >&2
  exit 1
fi
echo "install-bench-peers: done"
