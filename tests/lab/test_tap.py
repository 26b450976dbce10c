"""An observer knows a packet again, whole or as a piece of what the kernel had not cut."""

import socket
import struct

from jumping_vpn.lab.tap import packets_of
from jumping_vpn.lab.traffic import ECHO, ECHO_LENGTH, ECHO_PORT

CLIENT, SERVER = "10.77.0.2", "192.168.50.10"
WHOLE = 0
ACK, PUSH, SYN = 0x10, 0x08, 0x02
CLOCK = b"\x01\x01\x08\x0a" + struct.pack("!II", 7, 8)
SMALL_MSS, LARGE_MSS = b"\x02\x04\x04\x00", b"\x02\x04\x05\xb4"


def test_a_stream_that_is_cut_later_is_the_same_packets() -> None:
    payload = bytes(range(250))
    bundle = segment(100, payload, flags=ACK | PUSH)
    pieces = [
        segment(100, payload[:100], identification=8),
        segment(200, payload[100:200], identification=9),
        segment(300, payload[200:], flags=ACK | PUSH, identification=10),
    ]

    assert keys(bundle, size=100) == [key for piece in pieces for key in keys(piece)]


def test_a_run_of_datagrams_is_the_datagrams_in_it() -> None:
    echoes = [echo(number) for number in (7, 8, 9)]
    run = datagram(b"".join(echoes))

    found = list(packets_of(run, ECHO_LENGTH))

    assert [number for _, number in found] == [7, 8, 9]
    assert [key for key, _ in found] == [key for each in echoes for key in keys(datagram(each))]


def test_segments_that_differ_in_anything_are_different_packets() -> None:
    packets = [
        segment(100, b""),
        segment(101, b""),
        segment(100, b"a"),
        segment(100, b"", options=b"\x01\x01\x08\x0a" + struct.pack("!II", 7, 9)),
        segment(100, b"", source=SERVER, target=CLIENT),
        segment(100, b"", flags=ACK | SYN),
    ]

    assert len({key for packet in packets for key in keys(packet)}) == len(packets)


def test_a_segment_size_that_is_changed_on_the_way_makes_no_other_packet() -> None:
    offered = segment(1, b"", flags=SYN, options=LARGE_MSS)
    clamped = segment(1, b"", flags=SYN, options=SMALL_MSS)

    assert keys(offered) == keys(clamped)


def test_a_packet_of_another_protocol_is_known_by_all_it_carries() -> None:
    first, second = (ip(socket.IPPROTO_ICMP, body) for body in (b"ping 1..", b"ping 2.."))

    assert keys(first) == keys(first) != keys(second)


def keys(packet: bytes, *, size: int = WHOLE) -> list[bytes]:
    return [key for key, _ in packets_of(packet, size)]


def echo(number: int) -> bytes:
    return ECHO.pack(number).ljust(ECHO_LENGTH, b".")


def datagram(payload: bytes) -> bytes:
    header = struct.pack("!HHHH", 40_000, ECHO_PORT, 8 + len(payload), 0)
    return ip(socket.IPPROTO_UDP, header + payload)


def segment(
    sequence: int,
    payload: bytes,
    *,
    flags: int = ACK,
    options: bytes = CLOCK,
    identification: int = 7,
    source: str = CLIENT,
    target: str = SERVER,
) -> bytes:
    length = (20 + len(options)) // 4 << 4
    header = struct.pack("!HHIIBBHHH", 80, 90, sequence, 5, length, flags, 512, 0, 0)
    return ip(
        socket.IPPROTO_TCP,
        header + options + payload,
        identification=identification,
        source=source,
        target=target,
    )


def ip(
    protocol: int,
    body: bytes,
    *,
    identification: int = 7,
    source: str = CLIENT,
    target: str = SERVER,
) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), identification, 0, 64, protocol, 0)
    return header + socket.inet_aton(source) + socket.inet_aton(target) + body
