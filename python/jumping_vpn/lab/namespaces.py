"""Network namespaces, the cables between them, and the processes inside.

All of it goes when the lab closes.

LabRefused          the kernel or a tool refused; the text is its own answer
"""

import contextlib
import ctypes
import fcntl
import itertools
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Final

TOOLS: Final[Mapping[str, str]] = {"ip": "iproute2", "nft": "nftables", "conntrack": "conntrack"}
NUMBERS: Final = itertools.count(100)
STOP_SECONDS_MAX: Final = 5.0
CLONE_NEWNET: Final = 0x40000000
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1
FLAGS: Final = struct.Struct("16sH14x")
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class LabRefused(Exception):
    """The lab cannot be built or changed here."""


@dataclass(slots=True)
class Lab:
    """Namespaces with a common prefix; closing ends every process and removes every namespace."""

    prefix: str
    _names: list[str] = field(default_factory=list)
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)
    _pipes: list[IO[str]] = field(default_factory=list)

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def namespace(self, name: str) -> "Namespace":
        """Make a namespace with its loopback up, whose addresses can be used at once."""
        full = f"{self.prefix}-{name}"
        self._names.append(full)
        run("ip", "netns", "add", full)
        made = Namespace(lab=self, name=full)
        made.ip("link set lo up")
        made.sysctl({"net/ipv6/conf/default/accept_dad": "0"})
        return made

    def track(self, process: subprocess.Popen[str]) -> None:
        """Remember a process that must not outlive the lab."""
        self._processes.append(process)

    def own(self, pipe: IO[str] | None) -> None:
        """Remember a pipe from a process that nobody else closes."""
        self._pipes += [pipe] if pipe is not None else []

    def close(self) -> None:
        """End the processes, youngest first, and remove the namespaces; nothing interrupts that."""
        with uninterrupted():
            for process in reversed(self._processes):
                stop(process)
            self._processes.clear()
            for pipe in self._pipes:
                pipe.close()
            self._pipes.clear()
            for name in reversed(self._names):
                remove_namespace(name)
            self._names.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """One host of the lab."""

    lab: Lab
    name: str

    def run(self, *command: str) -> str:
        """Run a command inside and return what it printed."""
        return run("ip", "netns", "exec", self.name, *command)

    def ip(self, *lines: str) -> None:
        """Run lines of `ip` inside, all or none of the rest after the first that fails."""
        feed(("ip", "-n", self.name, "-batch", "-"), "".join(f"{line}\n" for line in lines))

    def set_link(self, interface: str, *, up: bool) -> int:
        """Set an interface up or down by one system call; return when, monotonic ns.

        `ip` would do the same, some milliseconds after it was started.
        """
        done: list[int | OSError] = []

        def work() -> None:
            try:
                done.append(_switch(self.name, interface, up=up))
            except OSError as error:
                done.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(done[0], OSError):
            raise LabRefused(f"{interface} in {self.name}: {done[0]}")
        return done[0]

    def nft(self, script: str) -> None:
        """Load an nftables script inside."""
        feed(("ip", "netns", "exec", self.name, "nft", "-f", "-"), script)

    def sysctl(self, settings: Mapping[str, str]) -> None:
        """Set sysctls inside, by their path below /proc/sys."""
        script = "".join(f"echo {value} > /proc/sys/{name}\n" for name, value in settings.items())
        self.run("sh", "-ec", script)

    def start(
        self,
        command: Sequence[str],
        *,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | IO[str] | None = subprocess.DEVNULL,
        stderr: int | IO[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a process inside; it ends with the lab at the latest."""
        process = subprocess.Popen(
            ("ip", "netns", "exec", self.name, *command),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self.lab.track(process)
        return process


@contextlib.contextmanager
def laboratory(prefix: str) -> Iterator[Lab]:
    """Open a lab under `prefix` and our process id; what a run that died left is removed."""
    require_root()
    sweep(prefix)
    with Lab(f"{prefix}{os.getpid()}") as lab:
        yield lab


def cable(left: tuple[Namespace, str], right: tuple[Namespace, str]) -> None:
    """Join two namespaces by a veth pair with these interface names, both ends up.

    The ends get different numbers. Where they are the same, the kernel takes a lost carrier for
    one of a plain device and tells it up to a second late, whenever another link changed lately.
    """
    (one, one_name), (other, other_name) = left, right
    number = str(next(NUMBERS))
    run(
        *("ip", "link", "add", "name", one_name, "index", number, "netns", one.name),
        *("type", "veth", "peer", "name", other_name, "netns", other.name),
    )
    one.ip(f"link set {one_name} up")
    other.ip(f"link set {other_name} up")


def _switch(namespace: str, interface: str, *, up: bool) -> int:
    """Enter the namespace for the rest of this thread's life, and set the flag."""
    with Path(f"/run/netns/{namespace}").open("rb") as entry:
        if ctypes.CDLL(None, use_errno=True).setns(entry.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = fcntl.ioctl(any_socket, SIOCGIFFLAGS, FLAGS.pack(interface.encode(), 0))
        flags = FLAGS.unpack(asked)[1] & ~IFF_UP | (IFF_UP if up else 0)
        at_ns = time.monotonic_ns()
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, FLAGS.pack(interface.encode(), flags))
    return at_ns


def stop(process: subprocess.Popen[str]) -> None:
    """End a process politely, then firmly; one that reads its orders ends with them."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def require_root() -> None:
    """Refuse to go on without root or without the tools; the text says what to do."""
    if os.geteuid() != 0:
        raise LabRefused("The lab makes network namespaces, which needs root. Run it with sudo.")
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise LabRefused(f"Missing tools. Run: apt-get install {' '.join(missing)}")


def sweep(prefix: str) -> None:
    """Remove namespaces of runs that died: those whose process is no more."""
    for path in Path("/run/netns").glob(f"{prefix}*-*"):
        owner = path.name.removeprefix(prefix).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            remove_namespace(path.name)


def remove_namespace(name: str) -> None:
    """Remove a namespace of ours with every process that is still inside."""
    inside = subprocess.run(
        ("ip", "netns", "pids", name), check=False, capture_output=True, text=True
    )
    for pid in inside.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore who is impatient; only the main thread is ever interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt_on_every_signal() -> None:
    """Make each polite signal a KeyboardInterrupt, so that everything is cleaned up."""
    for number in INTERRUPTS:
        signal.signal(number, signal.default_int_handler)


def run(*command: str) -> str:
    """Run a command and return what it printed; its complaint is the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip()
        raise LabRefused(f"`{' '.join(command)}`: {complaint or f'exit {done.returncode}'}")
    return done.stdout


def feed(command: Sequence[str], script: str) -> None:
    """Run a command that reads its orders from standard input."""
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabRefused(f"`{' '.join(command)}`: {done.stderr.strip()}\n{script}")
