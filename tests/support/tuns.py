"""A TUN interface for tests, and a client's tunnel on it."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from jumping_vpn.client.network import Tunnel

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001

CLIENT = Tunnel(
    interface="jvpn0",
    addresses=("10.77.0.2", "fd77:4a56:504e::2"),
    routes=("10.77.0.0/24", "fd77:4a56:504e::/64", "192.168.9.0/24"),
    mtu=1400,
    keep_local_networks=True,
)


@contextmanager
def tun(name: str) -> Iterator[None]:
    """Hold a TUN interface open, as the data plane does: it goes when its owner does."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
        yield
    finally:
        os.close(descriptor)
