"""What the lab's own link element costs: latency it adds, how exact a delay is, its highest rate.

Needs root, for namespaces. Prints one JSON line; docs/lab.md tells the limits that follow.
"""

import json
import statistics
import sys
import time
from typing import Final

from jumping_vpn.lab.flood import Datagrams
from jumping_vpn.lab.link import Lane, Link, symmetric
from jumping_vpn.lab.namespaces import Lab, Namespace, cable, laboratory
from jumping_vpn.lab.oneway import OneWay

LEFT: Final = "10.9.0.1"
RIGHT: Final = "10.9.0.2"
EXCHANGES: Final = 4_000
DELAY_MS: Final = 5
STREAM_SECONDS: Final = 6.0
RATES_MBIT: Final = (100, 200, 300, 400, 500, 600, 800)
RATE_SECONDS: Final = 3.0
SPARED: Final = 0.001
STARTED: Final = 0.6
"""The share of the time in which a sender that had to start must have sent."""
ECHO: Final = """
import socket, sys
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind((sys.argv[1], 7))
while True:
    datagram, source = echo.recvfrom(2048)
    echo.sendto(datagram, source)
"""
ASK: Final = """
import json, socket, sys, time
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.connect((sys.argv[1], 7))
asker.settimeout(0.2)
took = []
for _ in range(int(sys.argv[2])):
    began = time.monotonic_ns()
    try:
        asker.send(bytes(100))
        asker.recv(2048)
    except (ConnectionRefusedError, TimeoutError):
        continue
    took.append(time.monotonic_ns() - began)
    time.sleep(0.0005)
print(json.dumps(took))
"""


def hosts(lab: Lab, *, with_link: bool) -> tuple[Namespace, Namespace, Link | None]:
    """Return two hosts, joined by a cable or by a link element."""
    kind = "link" if with_link else "bare"
    left, right = lab.namespace(f"{kind}-left"), lab.namespace(f"{kind}-right")
    link = None
    if with_link:
        air = lab.namespace("air")
        cable((left, "eth0"), (air, "left"))
        cable((air, "right"), (right, "eth0"))
        link = Link(air, "left", "right", symmetric(Lane(), seed=1))
        link.counters()
    else:
        cable((left, "eth0"), (right, "eth0"))
    for host, address in ((left, LEFT), (right, RIGHT)):
        host.ip(f"addr add {address}/24 dev eth0", "link set eth0 gso_max_segs 1")
    return left, right, link


def round_trips_us(left: Namespace, right: Namespace) -> list[float]:
    """Return the round trips of small datagrams, one at a time."""
    echo = right.start((sys.executable, "-c", ECHO, RIGHT))
    time.sleep(0.5)
    told = left.run(sys.executable, "-c", ASK, RIGHT, str(EXCHANGES))
    echo.kill()
    return sorted(ns / 1e3 for ns in json.loads(told))


def delays_us(left: Namespace, right: Namespace, link: Link) -> list[float]:
    """Return by how much datagrams come later than the delay says."""
    link.configure(symmetric(Lane(delay_us=DELAY_MS * 1000), seed=1))
    stream = OneWay.start(left, right, RIGHT, port=6001, interval_ms=1)
    time.sleep(STREAM_SECONDS)
    link.configure(symmetric(Lane(), seed=1))
    return sorted((ns / 1e6 - DELAY_MS) * 1e3 for ns in stream.ways_ns())


def highest_mbit(left: Namespace, right: Namespace) -> int:
    """Return the highest of the rates at which next to nothing is lost."""
    best = 0
    for port, mbit in enumerate(RATES_MBIT, start=6100):
        flow = Datagrams.start(left, right, RIGHT, port=port, mbit=mbit)
        time.sleep(RATE_SECONDS)
        sent = flow.stop()
        time.sleep(0.3)
        arrived = flow.count().received
        enough = mbit * RATE_SECONDS * 1e6 / 8 / 1_200 * STARTED
        if sent < enough or sent - arrived > sent * SPARED:
            break
        best = mbit
    return best


def at(values: list[float], share: float) -> float:
    """Return the value below which this share lies."""
    return round(values[min(len(values) - 1, int(len(values) * share))], 1)


def main() -> int:
    """Measure a bare cable and a link element in turn."""
    with laboratory("jvk") as lab:
        bare_left, bare_right, _ = hosts(lab, with_link=False)
        left, right, link = hosts(lab, with_link=True)
        if link is None:
            return 1
        bare = round_trips_us(bare_left, bare_right)
        through = round_trips_us(left, right)
        late = delays_us(left, right, link)
        figures = {
            "bench": "link",
            "round_trip_bare_us": {"p50": at(bare, 0.5), "p99": at(bare, 0.99)},
            "round_trip_us": {"p50": at(through, 0.5), "p99": at(through, 0.99)},
            "added_each_way_us": {
                "p50": round((statistics.median(through) - statistics.median(bare)) / 2, 1),
                "p99": round((at(through, 0.99) - at(bare, 0.99)) / 2, 1),
            },
            "delay_late_us": {"p50": at(late, 0.5), "p99": at(late, 0.99)},
            "rate_mbit": {
                "bare": highest_mbit(bare_left, bare_right),
                "link": highest_mbit(left, right),
            },
        }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
