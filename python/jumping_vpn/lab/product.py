"""The product inside the lab: its own commands in namespaces, asked by their control sockets."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from jumping_vpn.client.status import ClientStatus, Jumped
from jumping_vpn.lab.namespaces import LabRefused, Namespace
from jumping_vpn.service.control import ControlError, Declined, Request, ask

JVPN: Final = (sys.executable, "-m", "jumping_vpn")
ASK_SECONDS_MAX: Final = 10.0


def jvpn(namespace: Namespace, *arguments: str) -> str:
    """Run a `jvpn` command in a namespace and return what it printed."""
    return namespace.run(*JVPN, *arguments)


def rss_kib(process: subprocess.Popen[str] | None) -> int:
    """Return the resident memory of a running process, 0 of none."""
    if process is None or process.poll() is not None:
        return 0
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


@dataclass(slots=True)
class LabGateway:
    """A gateway in its directory; it can be killed and started again."""

    namespace: Namespace
    directory: Path
    log: IO[str]
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
        log = (directory.parent / "gateway.log").open("a", encoding="utf-8")
        return cls(namespace, directory, log)

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
        self.process = self.namespace.start(command, stdout=self.log, stderr=self.log)
        return started

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

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
    log: IO[str]
    process: subprocess.Popen[str] | None = None

    @classmethod
    def make(cls, namespace: Namespace, file: Path, state: Path) -> "LabClient":
        """Prepare a client for this configuration."""
        log = (state.parent / f"{state.name}.log").open("a", encoding="utf-8")
        return cls(namespace, file, state, log)

    def start(self) -> None:
        """`jvpn up`."""
        command = (*JVPN, "up", str(self.file), "--state-dir", str(self.state))
        self.process = self.namespace.start(command, stdout=self.log, stderr=self.log)

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

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
        request = Request(command="jump", argument=transport)
        told = ask(self.state / "control.sock", request, Jumped, seconds_max=ASK_SECONDS_MAX)
        if isinstance(told, Declined):
            raise LabRefused(f"jump: {told.text}")
        return told

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
            time.sleep(0.05)
        raise LabRefused(f"the session did not attach in {seconds_max} s; see {self.log.name}")

    @property
    def events(self) -> Path:
        """The client's own log."""
        return self.state / "events.jsonl"


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
