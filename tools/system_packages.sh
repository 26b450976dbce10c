#!/usr/bin/env bash
# Install the Debian packages that building and testing need and that are not here.
#
# Without root or apt it names them and goes on: what does not need them still works.
# With --list it only names them.
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
"${BASE_PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)

if [ ${#packages[@]} -eq 0 ]; then
  exit 0
fi
if [ "${1:-}" = --list ] || [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup: missing here, as root: apt-get install ${packages[*]}"
  exit 0
fi
echo "setup: apt-get install ${packages[*]}"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${packages[@]}"
