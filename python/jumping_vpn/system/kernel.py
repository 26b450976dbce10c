"""Orders to the kernel's network: batches for `ip` and `nft`, and sysctls through /proc.

KernelRefused       a tool answered with an error, or is not there
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SYSCTLS: Final = Path("/proc/sys")
TOOL_SECONDS_MAX: Final = 10
PACKAGES: Final[Mapping[str, str]] = {"ip": "iproute2", "nft": "nftables"}


class KernelRefused(Exception):
    """The kernel, or the tool that talks to it, refused; the text is its own answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One call of a tool: its arguments, and what it reads from its standard input.

    An empty script is nothing to do; without any, the arguments say it all.
    """

    command: tuple[str, ...]
    script: str | None = None


def ip_batch(lines: Iterable[str], *, family: int | None = None, forgiving: bool = False) -> Batch:
    """Return one `ip` call for these lines; `forgiving` goes on after a line that fails."""
    options = [f"-{family}"] if family else []
    options += ["-force"] if forgiving else []
    script = "".join(f"{line}\n" for line in lines)
    return Batch(command=("ip", *options, "-batch", "-"), script=script)


def nft_batch(script: str) -> Batch:
    """Return one `nft` call: the whole script takes effect at once, or not at all."""
    return Batch(command=("nft", "-f", "-"), script=script)


def run(batches: Sequence[Batch], *, forgiving: bool = False) -> None:
    """Run the batches side by side; the first failure is raised when all are done."""
    running = [(batch, _start(batch)) for batch in batches if batch.script != ""]
    failures = [failure for batch, process in running if (failure := _finish(batch, process))]
    if failures and not forgiving:
        raise KernelRefused(failures[0])


def succeeds(*command: str) -> bool:
    """Say whether a tool is there and answers without an error."""
    batch = Batch(command=command)
    return _finish(batch, _start(batch)) is None


def missing_tools(tools: Iterable[str]) -> tuple[str, ...]:
    """Return those of the tools that are not on the path."""
    return tuple(tool for tool in tools if shutil.which(tool) is None)


def read_sysctl(name: str) -> str | None:
    """Return the value of `net/ipv4/...`, or None where this kernel has no such setting."""
    try:
        return (SYSCTLS / name).read_text(encoding="ascii").strip()
    except OSError:
        return None


def write_sysctl(name: str, value: str) -> None:
    """Set `net/ipv4/...` to this value."""
    try:
        (SYSCTLS / name).write_text(value, encoding="ascii")
    except OSError as error:
        raise KernelRefused(f"sysctl {name} = {value}: {error.strerror}") from error


def sysctls(pattern: str) -> tuple[str, ...]:
    """Return the names of the sysctls that match `net/ipv4/conf/*/forwarding`, sorted."""
    return tuple(sorted(str(path.relative_to(SYSCTLS)) for path in SYSCTLS.glob(pattern)))


def interface_exists(name: str) -> bool:
    """Say whether this network namespace has such an interface."""
    return (SYSCTLS / "net/ipv4/conf" / name).is_dir()


def allow_ipv6(interface: str) -> None:
    """Let our own interface have IPv6 where new interfaces are denied it."""
    name = f"net/ipv6/conf/{interface}/disable_ipv6"
    if read_sysctl(name) == "1":
        write_sysctl(name, "0")


def ask_no_routers(interface: str) -> None:
    """Keep the kernel from looking for routers behind our own interface: there are none."""
    name = f"net/ipv6/conf/{interface}/router_solicitations"
    if read_sysctl(name) not in {None, "0"}:
        write_sysctl(name, "0")


def has_ipv6() -> bool:
    """Say whether this kernel was started with IPv6."""
    return (SYSCTLS / "net/ipv6").is_dir()


def _start(batch: Batch) -> "subprocess.Popen[str] | None":
    # The script waits in memory, so that the tools work at the same time while we wait for one.
    with os.fdopen(os.memfd_create("batch"), "w+", encoding="utf-8") as script:
        script.write(batch.script or "")
        script.seek(0)
        try:
            return subprocess.Popen(
                batch.command,
                stdin=script,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        except FileNotFoundError:
            return None


def _finish(batch: Batch, process: "subprocess.Popen[str] | None") -> str | None:
    tool, call = batch.command[0], " ".join(batch.command)
    if process is None:
        return f"`{tool}` is not installed. Run: apt-get install {PACKAGES.get(tool, tool)}"
    try:
        _, complaint = process.communicate(timeout=TOOL_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"`{call}` took longer than {TOOL_SECONDS_MAX} s"
    if process.returncode == 0:
        return None
    return f"`{call}`: {complaint.strip() or f'exit {process.returncode}'}"
