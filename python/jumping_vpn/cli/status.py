"""`jvpn status`."""

from pathlib import Path

import click
import msgspec

from jumping_vpn.cli.control import STATE_DIR, ask_service, control_socket
from jumping_vpn.cli.failures import ExitCode
from jumping_vpn.cli.lazy import examples
from jumping_vpn.cli.text import duration, size, table
from jumping_vpn.client.status import CandidateLine, ClientStatus

HEAD = ("", "TRANSPORT", "RTT", "JITTER", "LOSS IN", "LOSS OUT", "PACKET", "IN", "OUT")


@click.command(
    epilog=examples(
        "jvpn status",
        "jvpn status --state-dir /run/laptop",
        "jvpn status --json | jq -r .state",
    )
)
@STATE_DIR
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(state_dir: Path | None, *, as_json: bool) -> None:
    """Show the session, its transport and the candidates, as the running client sees them.

    Exits with 10 where nobody has answered the session since it was continued from its state file:
    the notice says why that may be.
    """
    path = control_socket("client", state_dir, "--state-dir")
    answer = ask_service(path, "status", ClientStatus)
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        click.echo(describe(answer))
    if answer.doubt:
        raise SystemExit(ExitCode.UNANSWERED)


def describe(answer: ClientStatus) -> str:
    """Return the status as a person reads it."""
    standing = f"{answer.state} for {duration(answer.in_state_ms)}"
    lines = [
        f"{answer.name}: {standing}{_through(answer)}{_late(answer)}",
        f"  session   {answer.session_id or 'none yet'}{_ends(answer)}",
        f"  version   {answer.version}, binding {answer.epoch}",
        f"  inside    {' '.join(answer.addresses) or '-'} on {answer.interface or '-'}",
        f"  routes    {' '.join(answer.routes) or '-'}",
        f"  jumps     {answer.jumps}{_last(answer)}",
    ]
    if answer.doubt:
        lines.append(f"  notice    {answer.doubt}")
    if answer.candidates:
        rows = table((HEAD, *map(_row, answer.candidates)))
        lines += ["", *(f"  {line}" for line in rows.split("\n"))]
    return "\n".join(lines)


def _through(answer: ClientStatus) -> str:
    if answer.transport is None:
        return ""
    return f", through {answer.transport}" + ("" if answer.confirmed else " (unconfirmed)")


def _late(answer: ClientStatus) -> str:
    if not answer.late_ms:
        return ""
    told = "" if answer.acknowledged == answer.state else f", last told {answer.acknowledged}"
    return f": no proof of delivery for {duration(answer.late_ms)}{told}"


def _ends(answer: ClientStatus) -> str:
    return "" if answer.ends_in_ms is None else f", ends in {duration(answer.ends_in_ms)}"


def _last(answer: ClientStatus) -> str:
    last = answer.last_jump
    if last is None:
        return ""
    route = f"{last.transport_before or '-'} -> {last.transport_after or '-'}"
    return f", the last {duration(last.ago_ms)} ago: {route}, {last.reason} {last.cause}".rstrip()


def _row(line: CandidateLine) -> tuple[str, ...]:
    mark = "*" if line.active else " " if line.answering else "!"
    return (
        mark,
        line.transport,
        _milliseconds(line.srtt_us),
        _milliseconds(line.jitter_us),
        _percent(line.loss_in),
        _percent(line.loss_out),
        "-" if line.packet_size is None else f"{line.packet_size} B",
        size(line.bytes_in),
        size(line.bytes_out),
    )


def _milliseconds(microseconds: int | None) -> str:
    return "-" if microseconds is None else f"{microseconds / 1000:.1f} ms"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"
