#!/usr/bin/env bash
# Install the VPNs that `make bench` compares with, as far as Debian packages them, and the tools
# that set them up and measure them.
#
# wireguard-go is not among them: what is packaged is a release without offloads, which is no fair
# comparison. The newest, built from its own sources, is found on the PATH or in build/peers/.
set -euo pipefail

packages=(openvpn openssl nebula tinc wireguard-tools ethtool iperf3 linux-perf)

apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${packages[@]}"
if ! PATH="build/peers:$PATH" command -v wireguard-go >/dev/null; then
  echo "wireguard-go is missing: put the newest one on the PATH or into build/peers/"
fi
