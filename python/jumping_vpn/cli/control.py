"""Finding a running client or gateway, and asking it something over its control socket."""

from pathlib import Path
from typing import Final, TypeVar

import click

from jumping_vpn.cli.failures import ExitCode, Failure
from jumping_vpn.service.announce import found
from jumping_vpn.service.control import Declined, Request, ask

T = TypeVar("T")

ANSWER_SECONDS_MAX: Final = 15.0
DENIED_BY: Final = frozenset({"COOLDOWN_ACTIVE", "RATE_LIMITED", "SWITCH_RATE_LIMITED"})

STATE_DIR: Final = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    envvar="JVPN_STATE_DIR",
    help="The client's state directory; by default $JVPN_STATE_DIR, or the only client here.",
)


def ask_service(path: Path, command: str, result: type[T], *, argument: str = "") -> T:
    """Return the answer of the service behind `path`; what it declines is a failure."""
    request = Request(command=command, argument=argument)
    answer = ask(path, request, result, seconds_max=ANSWER_SECONDS_MAX)
    if isinstance(answer, Declined):
        code = ExitCode.DENIED if answer.reason in DENIED_BY else ExitCode.FAILURE
        raise Failure(code, f"{answer.text} ({answer.reason})")
    return answer


def control_socket(role: str, directory: Path | None, how: str) -> Path:
    """Return the control socket of the service in this directory, or of the only one running.

    `how` is what a person adds to the command to name the service.
    """
    if directory is not None:
        return directory / "control.sock"
    running = found(role)
    if not running:
        raise Failure(
            ExitCode.NOT_RUNNING, f"no {role} is running here. If one is, name it with {how}"
        )
    if len(running) > 1:
        names = ", ".join(str(path.parent) for path in running)
        raise Failure(
            ExitCode.USAGE, f"more than one {role} is running ({names}): name it with {how}"
        )
    return running[0]
