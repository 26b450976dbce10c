"""A gateway to measure: the product's own process on a core of its own, in a private namespace.

Its host has one loopback network for each few clients, because strangers of one source prefix may
shake hands only so often.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from jumping_vpn.gateway.status import Counters, NodeStatus
from jumping_vpn.lab.namespaces import laboratory, stop
from jumping_vpn.service.control import ControlError, Declined, Request, ask

T = TypeVar("T")

INSIDE: Final = "inside"
JVPN: Final = (sys.executable, "-m", "jumping_vpn")
PORT: Final = 4789
PREFIXES: Final = 64
GATEWAY_CPU, SWARM_CPU = 0, 1
PINNED: Final = ("taskset", "--cpu-list", str(GATEWAY_CPU))
ASK_SECONDS_MAX: Final = 5.0
POLL_SECONDS: Final = 0.05
POLICY: Final = """
[policy]
max_switches_per_minute = 600
switch_cooldown = 0
reattach_rate = 1000
reattach_burst = 1000
heartbeat_interval = 10000
"""


def run_inside(module: str) -> int:
    """Run a measurement again inside a namespace of its own; return its exit code."""
    with laboratory("bench") as lab:
        host = lab.namespace("host")
        host.ip(*(f"address add {host_of(number)}/24 dev lo" for number in range(PREFIXES)))
        return host.start((sys.executable, "-m", module, INSIDE), stdout=None).wait()


def host_of(number: int) -> str:
    """Return the address at which a client reaches the gateway, which is its own as well."""
    return f"10.200.{number % PREFIXES}.1"


def endpoint_of(number: int) -> tuple[str, int]:
    """Return the endpoint of a client's one path."""
    return host_of(number), PORT


@dataclass(slots=True)
class Site:
    """A gateway's directory, and its process while there is one."""

    directory: Path
    process: subprocess.Popen[str] | None = None

    @classmethod
    def make(cls, directory: Path) -> "Site":
        """Create a gateway that lets its clients jump as often as any policy can."""
        endpoint = f"{host_of(0)}:{PORT}"
        subnets = ("--subnet", "10.201.0.0/16", "--subnet", "fd77:4a56:504e::/64")
        init = ("gateway", "init", str(directory), "--endpoint", endpoint, *subnets)
        subprocess.run((*JVPN, *init), check=True, stdout=subprocess.DEVNULL)
        with (directory / "gateway.toml").open("a") as config:
            config.write(POLICY)
        return cls(directory)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the gateway for as long as the context lasts."""
        self.start()
        try:
            yield
        finally:
            if self.process is not None:
                stop(self.process)

    def start(self) -> None:
        """Start the process on its core."""
        self.process = subprocess.Popen(
            (*PINNED, *JVPN, "gateway", "run", str(self.directory)),
            stdin=subprocess.DEVNULL,
            stdout=(self.directory.parent / "gateway.log").open("ab"),
            stderr=subprocess.STDOUT,
            text=True,
        )

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def wait(self) -> None:
        """Wait until the gateway answers on its control socket."""
        while not self.is_serving:
            time.sleep(POLL_SECONDS)

    @property
    def is_serving(self) -> bool:
        """Whether the gateway answers on its control socket."""
        try:
            told = self._ask("status", NodeStatus)
        except ControlError:
            return False
        return isinstance(told, NodeStatus)

    def driver_counters(self) -> dict[str, int]:
        """Return what the gateway's driver has counted."""
        told = self._ask("counters", Counters)
        if isinstance(told, Declined):
            raise ControlError(told.text)
        return told.driver

    def cpu_us(self) -> dict[str, int]:
        """Return the processor time of each of the gateway's threads so far."""
        if self.process is None:
            return {}
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return {
            f"{(task / 'comm').read_text().strip()}-{index}": _run_us(task)
            for index, task in enumerate(sorted(tasks, key=lambda each: int(each.name)))
        }

    def _ask(self, command: str, result: type[T]) -> T | Declined:
        socket = self.directory / "control.sock"
        return ask(socket, Request(command=command), result, seconds_max=ASK_SECONDS_MAX)


def _run_us(task: Path) -> int:
    """Return the processor time of a thread, from its directory in /proc."""
    return int((task / "schedstat").read_text().split()[0]) // 1000
