"""What the benchmark asks of a VPN: to run between two hosts, and to name both ends of its tunnel.

A peer is given two namespaces in which the gateway's outer address can be reached from the client.
How they are joined is no business of the peer: the same class runs over a bare cable and over the
paths of the standard lab. Every peer encrypts and authenticates with what its users get by default.

PeerFailed          the tunnel did not come up; the text says where to look
"""

import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from jumping_vpn.lab.namespaces import LabRefused, Namespace, stop
from jumping_vpn.lab.product import put_signal

BUILT: Final = Path(__file__).parents[2] / "build" / "peers"
"""Programs that were built for the comparison; what lies here is taken before the PATH's."""
GATEWAY_INNER: Final = "10.78.0.1"
CLIENT_INNER: Final = "10.78.0.2"
INNER_MTU: Final = 1420
"""What fits a path of 1,500 bytes with every peer's overhead: given to each that takes one."""
UP_SECONDS_MAX: Final = 20.0
POLL_SECONDS: Final = 0.05
PING_BYTES: Final = "56"


class PeerFailed(Exception):
    """A tunnel did not come up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a peer runs: two hosts, the outer address of the gateway, a directory of its own."""

    client: Namespace
    gateway: Namespace
    gateway_address: str
    work: Path


class Peer(ABC):
    """One VPN between a client and a gateway.

    `tuned` asks for the quickest detection of a dead path that its settings reasonably allow, which
    only matters to how it survives faults.
    """

    name: ClassVar[str]
    gateway_inner: str = GATEWAY_INNER
    client_inner: str = CLIENT_INNER

    def __init__(self, ground: Ground, *, tuned: bool = False) -> None:
        self.ground = ground
        self.tuned = tuned
        self.gateway_process: subprocess.Popen[str] | None = None
        self.client_process: subprocess.Popen[str] | None = None
        ground.work.mkdir(parents=True, exist_ok=True, mode=0o700)

    @classmethod
    @abstractmethod
    def version(cls) -> str | None:
        """Return the version that would run, None where it is not installed."""

    @abstractmethod
    def prepare(self) -> None:
        """Make keys and configuration; nothing runs yet."""

    @abstractmethod
    def start_gateway(self) -> None:
        """Start the gateway's process; again after it was killed."""

    @abstractmethod
    def start_client(self) -> None:
        """Start the client's process."""

    def start(self) -> None:
        """Bring the tunnel up and return once packets go through it."""
        self.prepare()
        self.start_gateway()
        self.start_client()
        self.wait_up()

    def wait_up(self, *, seconds_max: float = UP_SECONDS_MAX) -> None:
        """Wait until the gateway's inner address answers the client."""
        self.wait_for("the tunnel", self.is_up, seconds_max=seconds_max)

    def is_up(self) -> bool:
        """Say whether the gateway's inner address answers the client now."""
        ping = (sys.executable, "-m", "jumping_vpn.lab.traffic", "ping", self.gateway_inner)
        try:
            self.ground.client.run(*ping, "", PING_BYTES)
        except LabRefused:
            return False
        return True

    def kill_gateway(self) -> None:
        """`kill -9` the gateway."""
        put_signal(self.gateway_process, signal.SIGKILL)

    def stop(self) -> None:
        """End both processes, the client first."""
        for process in (self.client_process, self.gateway_process):
            if process is not None:
                stop(process)

    def processes(self) -> dict[str, int]:
        """Return the process id of each end that has a process of its own."""
        ends = {"client": self.client_process, "gateway": self.gateway_process}
        return {end: process.pid for end, process in ends.items() if process is not None}

    def spawn(
        self,
        namespace: Namespace,
        *command: str,
        end: str,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a process of one end; what it prints is kept beside its files."""
        with (self.ground.work / f"{end}.log").open("a", encoding="utf-8") as log:
            return namespace.start(command, stdout=log, stderr=log, environment=environment)

    def wait_for(self, what: str, look: Callable[[], bool], *, seconds_max: float) -> None:
        """Look until it is so; say where to look when it does not become so."""
        deadline = time.monotonic() + seconds_max
        while not look():
            if time.monotonic() > deadline:
                raise PeerFailed(
                    f"{self.name}: {what} is not up after {seconds_max:.0f} s; "
                    f"see {self.ground.work}"
                )
            time.sleep(POLL_SECONDS)


def program(name: str) -> str | None:
    """Return the path of a peer's program: a built one, else the installed one."""
    return shutil.which(name, path=str(BUILT)) or shutil.which(name)


def first_line(*command: str) -> str:
    """Return the first line that a command prints about itself."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().partition("\n")[0]
