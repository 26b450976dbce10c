"""The product inside the lab: its own commands in namespaces, asked by their control sockets."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from jumping_vpn.client.status import ClientStatus, Ended, Jumped
from jumping_vpn.client.status import Counters as ClientCounters
from jumping_vpn.gateway.status import Counters as GatewayCounters
from jumping_vpn.gateway.status import SessionLine, Sessions
from jumping_vpn.lab.namespaces import LabRefused, Namespace
from jumping_vpn.service.control import ControlError, Declined, Request, ask

JVPN: Final = (sys.executable, "-m", "jumping_vpn")
ASK_SECONDS_MAX: Final = 15.0
STOP_SECONDS_MAX: Final = 15.0
PAUSE_SECONDS: Final = 0.05

T = TypeVar("T")


def jvpn(namespace: Namespace, *arguments: str) -> str:
    """Run a `jvpn` command in a namespace and return what it printed."""
    return namespace.run(*JVPN, *arguments)


def rss_kib(process: subprocess.Popen[str] | None) -> int:
    """Return the resident memory of a running process, 0 of none."""
    if process is None or process.poll() is not None:
        return 0
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def wait_for(what: str, look: Callable[[], T | None], *, seconds_max: float) -> T:
    """Look until there is something to see, and return it."""
    deadline = time.monotonic() + seconds_max
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise LabRefused(f"{what}: not within {seconds_max:.0f} s")
        time.sleep(PAUSE_SECONDS)


def put_signal(process: subprocess.Popen[str] | None, number: int) -> int:
    """Send a running process a signal, wait for its end, and return its exit code."""
    if process is None:
        raise LabRefused("the process was never started")
    if process.poll() is None:
        process.send_signal(number)
    return process.wait(STOP_SECONDS_MAX)


@dataclass(slots=True)
class LabGateway:
    """A gateway in its directory; it can be killed and started again."""

    namespace: Namespace
    directory: Path
    log: Path
    process: subprocess.Popen[str] | None = None

    @classmethod
    def make(
        cls,
        namespace: Namespace,
        directory: Path,
        *,
        endpoints: Iterable[str],
        routes: Iterable[str],
    ) -> "LabGateway":
        """Initialise a gateway directory."""
        options = [word for endpoint in endpoints for word in ("--endpoint", endpoint)]
        options += [word for route in routes for word in ("--route", route)]
        jvpn(namespace, "gateway", "init", str(directory), *options)
        return cls(namespace, directory, directory.parent / f"{directory.name}.log")

    def add_client(self, name: str, file: Path) -> Path:
        """Make a client's configuration file."""
        jvpn(
            self.namespace,
            "gateway",
            "add-client",
            str(self.directory),
            name,
            "--output",
            str(file),
        )
        return file

    def start(self) -> int:
        """Start the process and return the instant, in monotonic nanoseconds."""
        command = (*JVPN, "gateway", "run", str(self.directory))
        started = time.monotonic_ns()
        self.process = _start(self.namespace, command, self.log)
        return started

    def kill(self) -> None:
        """`kill -9`."""
        put_signal(self.process, signal.SIGKILL)

    def stop(self) -> int:
        """Ctrl-C; return the exit code."""
        return put_signal(self.process, signal.SIGINT)

    def wait_serving(self, *, seconds_max: float) -> None:
        """Wait until the control socket answers."""
        wait_for("the gateway to serve", lambda: self._ask("status", dict), seconds_max=seconds_max)

    def sessions(self) -> tuple[SessionLine, ...]:
        """Return the sessions it holds; none while nobody answers."""
        told = self._ask("sessions", Sessions)
        return told.sessions if told is not None else ()

    def counters(self) -> dict[str, int]:
        """Return what its data plane counts."""
        return self._counters().plane

    def driver_counters(self) -> dict[str, int]:
        """Return what its driver counts."""
        return self._counters().driver

    def _counters(self) -> GatewayCounters:
        told = self._ask("counters", GatewayCounters)
        if told is None:
            raise LabRefused(f"the gateway does not answer; see {self.log}")
        return told

    def _ask(self, command: str, result: type[T]) -> T | None:
        request = Request(command=command)
        try:
            told = ask(
                self.directory / "control.sock", request, result, seconds_max=ASK_SECONDS_MAX
            )
        except ControlError:
            return None
        return None if isinstance(told, Declined) else told

    @property
    def events(self) -> Path:
        """The audit log."""
        return self.directory / "events.jsonl"


@dataclass(slots=True)
class LabClient:
    """A client with its state in a directory."""

    namespace: Namespace
    file: Path
    state: Path
    log: Path
    process: subprocess.Popen[str] | None = None

    @classmethod
    def make(cls, namespace: Namespace, file: Path, state: Path) -> "LabClient":
        """Prepare a client for this configuration."""
        return cls(namespace, file, state, state.parent / f"{state.name}.log")

    def start(self, program: Sequence[str] = JVPN) -> None:
        """`jvpn up`, by this program."""
        command = (*program, "up", str(self.file), "--state-dir", str(self.state))
        self.process = _start(self.namespace, command, self.log)

    def kill(self) -> None:
        """`kill -9`."""
        put_signal(self.process, signal.SIGKILL)

    def stop(self) -> int:
        """Ctrl-C; return the exit code."""
        return put_signal(self.process, signal.SIGINT)

    def down(self) -> int:
        """`jvpn down`; return the exit code of `jvpn up`."""
        self._order("down", Ended)
        if self.process is None:
            raise LabRefused("the client was never started")
        return self.process.wait(STOP_SECONDS_MAX)

    def counters(self) -> dict[str, int]:
        """Return what its data plane counts."""
        return self._order("counters", ClientCounters).plane

    def driver_counters(self) -> dict[str, int]:
        """Return what its driver counts."""
        return self._order("counters", ClientCounters).driver

    def status(self) -> ClientStatus | None:
        """Ask for the status; None while nobody answers."""
        try:
            told = ask(
                self.state / "control.sock",
                Request(command="status"),
                ClientStatus,
                seconds_max=ASK_SECONDS_MAX,
            )
        except ControlError:
            return None
        return None if isinstance(told, Declined) else told

    def jump(self, transport: str = "") -> Jumped:
        """`jvpn jump`."""
        return self._order("jump", Jumped, argument=transport)

    def wait_attached(self, *, answering: int, seconds_max: float) -> ClientStatus:
        """Wait until the session is attached and confirmed and this many candidates answer."""
        deadline = time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            status = self.status()
            if (
                status is not None
                and status.state == "ATTACHED"
                and status.confirmed
                and sum(line.answering for line in status.candidates) >= answering
            ):
                return status
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(PAUSE_SECONDS)
        raise LabRefused(f"the session did not attach in {seconds_max} s; see {self.log}")

    def _order(self, command: str, result: type[T], *, argument: str = "") -> T:
        request = Request(command=command, argument=argument)
        told = ask(self.state / "control.sock", request, result, seconds_max=ASK_SECONDS_MAX)
        if isinstance(told, Declined):
            raise LabRefused(f"{command}: {told.text} ({told.reason})")
        return told

    @property
    def events(self) -> Path:
        """The client's own log."""
        return self.state / "events.jsonl"


def _start(namespace: Namespace, command: Sequence[str], log: Path) -> subprocess.Popen[str]:
    with log.open("a", encoding="utf-8") as printed:
        return namespace.start(command, stdout=printed, stderr=printed)


@dataclass(slots=True)
class EventTail:
    """Reads an event log as it grows."""

    path: Path
    seen: list[dict[str, Any]] = field(default_factory=list)
    _offset: int = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the events that are new since the last call."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as log:
            log.seek(self._offset)
            lines = log.read().split(b"\n")
        whole = lines[:-1]
        self._offset += sum(len(line) + 1 for line in whole)
        new = [json.loads(line) for line in whole]
        self.seen += new
        return new
