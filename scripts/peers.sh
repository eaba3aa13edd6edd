# What both scripts that install peers do. Sourced by them, from their own folder; `$0` names the script to people.
self=$(basename "$0" .sh)

# The module is compiled in, or a file of its own.
has_nginx_module() {
  build=$(nginx -V 2>&1) || return 1
  case "$build" in *"--with-$1 "*) return 0 ;; esac
  folder=$(printf '%s\n' "$build" | tr ' ' '\n' | sed -n 's/^--modules-path=//p')
  [ -f "${folder:-/usr/lib/nginx/modules}/ngx_$1_module.so" ]
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Daemons of Debian packages start when installed unless this file says no. One that is there already stays as it is.
policy=/usr/sbin/policy-rc.d
forbid_daemons() {
  [ -e "$policy" ] && return
  trap 'as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
}

told() {
  printf '%s' "$1" | paste -sd, -
}

# Ends the script when `missing_peers` finds nothing missing, or when this machine is none that it can install on.
begin() {
  missing=$(missing_peers)
  if [ -z "$missing" ]; then
    echo "$self: everything is there"
    exit 0
  fi
  echo "$self: missing: $(told "$missing")"
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "$self: this script knows Debian and Ubuntu (apt-get) only. Install what is missing with this" >&2
    echo "system's package manager; a peer that is on the PATH is used whatever it came from." >&2
    exit 1
  fi
  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
    echo "$self: run it as root, or install sudo: packages can be installed by root only." >&2
    exit 1
  fi
  forbid_daemons
  as_root apt-get update -q
}

install_packages() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" </dev/null
}

end() {
  missing=$(missing_peers)
  if [ -n "$missing" ]; then
    echo "$self: still missing: $(told "$missing")" >&2
    exit 1
  fi
  echo "$self: done"
}
