#!/usr/bin/env bash
# Install the Debian packages that building and testing need and that are not here.
#
# Without root or apt it names them and goes on: what does not need them still works.
# With --list it only names them. openresolv is unpacked into build/openresolv for its test and not
# installed: it would take this machine's resolv.conf over.
set -euo pipefail

packages=()

need() { # command, package
  command -v "$1" >/dev/null || packages+=("$2")
}

export PATH="$PATH:/usr/sbin:/sbin"
need cc build-essential
need ip iproute2
need nft nftables
need sysctl procps
need unshare util-linux
need conntrack conntrack
need dnsmasq dnsmasq-base
"${BASE_PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)

unpack=build/openresolv
if [ ${#packages[@]} -eq 0 ] && [ -d "$unpack" ]; then
  exit 0
fi
if [ "${1:-}" = --list ] || [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  [ ${#packages[@]} -eq 0 ] || echo "setup: missing here, as root: apt-get install ${packages[*]}"
  exit 0
fi
if [ ${#packages[@]} -gt 0 ]; then
  echo "setup: apt-get install ${packages[*]}"
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${packages[@]}"
fi
if [ ! -d "$unpack" ]; then
  echo "setup: apt-get download openresolv"
  fetched=$(mktemp -d)
  trap 'rm -rf "$fetched"' EXIT
  fetch=(apt-get -qq -o APT::Sandbox::User=root download openresolv)
  if (cd "$fetched" && { "${fetch[@]}" || { apt-get -qq update && "${fetch[@]}"; }; }); then
    mkdir -p "${unpack%/*}"
    dpkg-deb --extract "$fetched"/openresolv_*.deb "$unpack"
  else
    echo "setup: openresolv is not to be had here; its test is skipped"
  fi
fi
