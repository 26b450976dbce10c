"""How a command fails: an exit code per cause, and one sentence that says what to do.

The table names exceptions by their place instead of importing them: a command pays for its own.
"""

import errno
import os
from enum import IntEnum
from pathlib import Path
from typing import IO, Any, Final

import click

CAP_NET_ADMIN: Final = 12
EXTENSION: Final = "jumping_vpn._native"


class ExitCode(IntEnum):
    """What a command's exit code says; scripts may rely on it."""

    def __new__(cls, value: int, meaning: str) -> "ExitCode":
        """Make the member `value`."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    meaning: str

    OK = 0, "Done."
    FAILURE = 1, "It did not work; the sentence says why."
    USAGE = 2, "The command was called in a way that it does not understand."
    CONFIGURATION = 3, "A configuration or key file is refused; file, line or field are named."
    NO_ANSWER = 4, "The gateway cannot be reached, or it does not know this client or key."
    NEEDS_ROOT = 5, "Root is needed: CAP_NET_ADMIN in this network namespace."
    NOT_RUNNING = 6, "Nothing is running that could answer."
    STORE = 7, "The store of sessions is refused; it is named, and nothing was overwritten."
    TERMINATED = 8, "The session is over."
    DENIED = 9, "Policy denies it for now; nothing was done, and the sentence says until when."
    UNANSWERED = 10, "Nobody answers the session that goes on: no way to the gateway, or old state."


class Failure(click.ClickException):
    """An expected failure, told in one sentence."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """The exit code, as click asks for it."""
        return self.code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence on standard error."""
        click.echo(f"jvpn: {self.format_message()}", file=file, err=file is None)


CODES: Final = {
    "jumping_vpn.client.network.NetworkTaken": ExitCode.FAILURE,
    "jumping_vpn.core.policy.limits.PolicyError": ExitCode.CONFIGURATION,
    "jumping_vpn.service.control.ControlBroken": ExitCode.FAILURE,
    "jumping_vpn.service.control.NotRunning": ExitCode.NOT_RUNNING,
    "jumping_vpn.service.files.FileRefused": ExitCode.CONFIGURATION,
    "jumping_vpn.service.lock.AlreadyRunning": ExitCode.FAILURE,
    "jumping_vpn.store.contract.StoreError": ExitCode.STORE,
    "jumping_vpn.system.kernel.KernelRefused": ExitCode.FAILURE,
    "jumping_vpn.system.settings.ConfigError": ExitCode.CONFIGURATION,
}


PREFIXES: Final = {"jumping_vpn.service.lock.AlreadyRunning": "it is running already: "}


def explain(error: Exception) -> Failure | None:
    """Return how this error is told to a person, or None when it is a fault of the program."""
    for kind in type(error).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in CODES:
            return Failure(CODES[name], PREFIXES.get(name, "") + _sentence(error))
    if isinstance(error, OSError):
        return _explain_system(error)
    if isinstance(error, ModuleNotFoundError) and error.name == EXTENSION:
        return Failure(
            ExitCode.FAILURE, "the data plane is not built. Run: maturin develop --release"
        )
    return None


def require_network_admin(command: str, reason: str) -> None:
    """Refuse in one sentence when this process may not change the network."""
    if not can_change_network():
        raise Failure(
            ExitCode.NEEDS_ROOT,
            f"`{command}` needs root (CAP_NET_ADMIN): {reason}. Run: sudo {command}",
        )


def can_change_network() -> bool:
    """Say whether this process has CAP_NET_ADMIN."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_NET_ADMIN & 1)
    return os.geteuid() == 0


def _sentence(error: Exception) -> str:
    return str(error) or type(error).__name__


def _explain_system(error: OSError) -> Failure:
    what = f"{error.filename}: " if error.filename else ""
    text = f"{what}{error.strerror or error}"
    if error.errno == errno.EADDRINUSE:
        return Failure(
            ExitCode.FAILURE,
            f"{text}. Another process has the port: `ss -ulpn` names it; "
            "stop it, or set another `port` in gateway.toml",
        )
    if error.errno == errno.EPERM:
        return Failure(ExitCode.NEEDS_ROOT, f"{text}. Root (CAP_NET_ADMIN) is needed")
    return Failure(ExitCode.FAILURE, text)
