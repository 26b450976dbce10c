"""`jvpn up`."""

import asyncio
from pathlib import Path

import click

from jumping_vpn.cli.failures import ExitCode, Failure, require_network_admin
from jumping_vpn.cli.lazy import examples
from jumping_vpn.cli.report import terminal
from jumping_vpn.core.ready import Finish, Outcome
from jumping_vpn.core.session.reasons import Reason

CODES = {
    Outcome.UNREACHABLE_OR_UNKNOWN: ExitCode.NO_ANSWER,
    Outcome.REFUSED: ExitCode.FAILURE,
    Outcome.TERMINATED: ExitCode.TERMINATED,
    Outcome.UNANSWERED: ExitCode.UNANSWERED,
}
TEXTS = {
    Outcome.UNREACHABLE_OR_UNKNOWN: (
        "no answer{detail}. Either the gateway cannot be reached from here, or it does not know "
        "this client or key: to strangers it is silent. To tell them apart, look at what "
        "`jvpn gateway run` prints meanwhile: a SECURITY_EVENT (unknown_client, forged) means "
        "unknown, so make this file anew with `jvpn gateway add-client`; nothing at all means "
        "that no packet arrives, so check endpoint, UDP port and firewalls"
    ),
    Outcome.REFUSED: "the gateway refused the session{detail}",
    Outcome.TERMINATED: "the session is over{detail}",
    Outcome.UNANSWERED: (
        "the session is over{detail}: nobody has answered it since it was continued from "
        "session.state. Either the gateway could not be reached, or the file was an old copy: then "
        "the gateway's log has SECURITY_EVENT with PROOF_INVALID. `jvpn up` makes a new session"
    ),
}


@click.command(
    epilog=examples(
        "jvpn up laptop.toml",
        "jvpn up laptop.toml --state-dir /run/laptop",
        "jvpn up laptop.toml --json | jq .event_type",
    )
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="Where the session is kept between runs; by default $JVPN_STATE_DIR or "
    "/var/lib/jumping-vpn/NAME.",
)
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines.")
def up(file: Path, state_dir: Path | None, *, as_json: bool) -> None:
    """Bring the tunnel of the configuration FILE up, in the foreground.

    Prints a line per change. Ctrl-C stops the process and keeps the session: the next `jvpn up`
    goes on with it. `jvpn down` ends it. Either way, and after a crash at the next start, this
    machine's network is put back as it was.
    """
    require_network_admin(f"jvpn up {file}", "it opens a TUN interface and sets routes")
    from jumping_vpn.client.service import run

    with terminal(as_json=as_json) as reporter:
        finish = asyncio.run(run(file, state_dir, reporter))
    if finish is None or is_wanted(finish):
        return
    raise failure_of(finish)


def is_wanted(finish: Finish) -> bool:
    """Say whether the end was ordered here, by `jvpn down`."""
    return finish.outcome is Outcome.TERMINATED and finish.detail == Reason.CLIENT_REQUEST


def failure_of(finish: Finish) -> Failure:
    """Return how the end of a run is told: its exit code and its sentence."""
    detail = f" ({finish.detail})" if finish.detail else ""
    return Failure(CODES[finish.outcome], TEXTS[finish.outcome].format(detail=detail))
