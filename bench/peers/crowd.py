"""The product with as many sessions beside the measured one as the gateway is asked to hold."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import ClassVar, Final

from bench._site import PREFIXES, endpoint_of, host_of
from bench._swarm import enrol, gather
from bench.peers.jump import Jump
from bench.peers.peer import PeerFailed

from jumping_vpn.core.wire.messages import PolicyTerms
from jumping_vpn.dataplane.keys import gateway_public_key
from jumping_vpn.lab.product import rss_kib

BATCH: Final = 250
"""Clients that are there at the same time; each has a thread and sockets of its own."""
SUBNETS: Final = ("10.77.0.0/16", "fd77:4a56:504e::/64")
GATHER_SECONDS_MAX: Final = 150.0
POLICY: Final = "peer_silence_max = 900000\n"
"""A session whose client fell silent keeps its binding for longer than any measurement takes."""
ASKED: Final[PolicyTerms] = {"heartbeat_interval": 60_000, "heartbeat_idle": 60_000}
"""What each of the crowd asks for: that nobody notices its silence at once."""


class Crowded(Jump):
    """A gateway with other sessions installed, whose clients have gone silent."""

    name = "jumping-vpn (10000 sessions)"
    crowd: ClassVar[int] = 9_999
    policy = POLICY

    def prepare(self) -> None:
        """Let the crowd in as well, under addresses of its own on the gateway's host."""
        super().prepare()
        directory = self.gateway.directory
        config = directory / "gateway.toml"
        wide = ", ".join(f'"{each}"' for each in SUBNETS)
        lines = [
            f"subnets = [{wide}]" if line.startswith("subnets") else line
            for line in config.read_text(encoding="utf-8").splitlines()
        ]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        hosts = (f"address add {host_of(number)}/24 dev lo" for number in range(PREFIXES))
        self.ground.gateway.ip(*hosts)
        enrol(directory, self.crowd)

    def start(self) -> None:
        """Bring the tunnel up, then every other session."""
        super().start()
        self.empty_kib = rss_kib(self.gateway_process)
        command = (sys.executable, "-m", "bench.peers.crowd", str(self.gateway.directory))
        process = self.ground.gateway.start(
            (*command, str(self.crowd)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        told, _ = process.communicate(timeout=GATHER_SECONDS_MAX)
        if process.returncode != 0:
            raise PeerFailed(f"{self.name}: the crowd did not get in: {told[-400:]}")
        self.full_kib = rss_kib(self.gateway_process)


def gather_crowd(directory: Path, count: int) -> None:
    """Give each client of a crowd a session, some at a time, and let each fall silent."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    files = tuple(directory.parent / "swarm" / f"{number}.toml" for number in range(count))
    public = gateway_public_key(directory)
    for start in range(0, count, BATCH):
        batch = files[start : start + BATCH]
        swarm = gather(batch, gateway_public=public, endpoint_of=endpoint_of, policy=ASKED)
        swarm.shake_hands()
        swarm.close()
        sys.stdout.write(json.dumps({"sessions": start + len(batch)}) + "\n")


if __name__ == "__main__":
    gather_crowd(Path(sys.argv[1]), int(sys.argv[2]))
