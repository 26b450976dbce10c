"""Inner packets that can be told apart: who sent each, which way, and the how-many-eth it is."""

import struct
from ipaddress import IPv4Address
from typing import Final

from jumping_vpn.sim.virtual.network import Way

SERVER: Final = IPv4Address("192.168.50.10")
HEADER: Final = struct.Struct(">BBHHHBBH4s4s")
MARK: Final = struct.Struct(">BBHQ")
UDP: Final = 17
VERSION_AND_LENGTH: Final = 0x45
WAYS: Final = (Way.UP, Way.DOWN)
Packet = tuple[int, Way, int]
"""Client, way and number of an inner packet."""


def inner_packet(packet: Packet, address: str, size: int) -> bytes:
    """Return the packet between the client with this address and the server behind the gateway."""
    client, way, number = packet
    ends = IPv4Address(address.partition("/")[0]).packed, SERVER.packed
    source, target = ends if way is Way.UP else ends[::-1]
    body = MARK.pack(client, WAYS.index(way), 0, number).ljust(size, b".")
    length = HEADER.size + len(body)
    header = HEADER.pack(VERSION_AND_LENGTH, 0, length, 0, 0, 64, UDP, 0, source, target)
    return header + body


def packet_of(inner: bytes) -> Packet:
    """Return which packet it is."""
    client, way, _, number = MARK.unpack_from(inner, HEADER.size)
    return client, WAYS[way], number
