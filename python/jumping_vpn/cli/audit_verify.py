"""`jvpn audit verify`."""

from pathlib import Path

import click
import msgspec

from jumping_vpn.cli.failures import ExitCode
from jumping_vpn.cli.lazy import examples
from jumping_vpn.observe.audit import PART, WHOLE, Report
from jumping_vpn.observe.audit import verify as verify_log


@click.command(
    epilog=examples(
        "jvpn audit verify /etc/jumping-vpn/events.jsonl",
        "jvpn audit verify events.jsonl.1 events.jsonl --json",
        "jvpn audit verify --part events.jsonl",
    )
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--part", is_flag=True, help="The log began in an earlier file that is not here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def verify(ctx: click.Context, files: tuple[Path, ...], *, part: bool, as_json: bool) -> None:
    """Check that the event log in FILE... is whole, and that every move in it was legal.

    Follows the chain of hashes, then replays every session through the session core. Names each
    line that was changed, dropped or reordered, or that no rule allows, and exits with 1. Files of
    one log are given in the order in which they were written.
    """
    report = verify_log(*files, extent=PART if part else WHOLE)
    if as_json:
        click.echo(msgspec.json.encode({"clean": report.clean} | msgspec.to_builtins(report)))
    else:
        click.echo(describe(report))
    if not report.clean:
        ctx.exit(ExitCode.FAILURE)


def describe(report: Report) -> str:
    """Return what was found as a person reads it, the first fault first."""
    seen = (
        f"{report.events} events, {report.moves} moves, {report.sessions} sessions "
        f"({report.live} live)"
    )
    if report.clean:
        return f"Clean: {seen}. The log ends at number {report.head.seq}, hash {report.head.hash}"
    more = report.violations - len(report.findings)
    lines = [
        f"Not clean: {report.violations} violations in {seen}",
        *(f"  {finding}" for finding in report.findings),
        *([f"  and {more} more"] if more else []),
    ]
    return "\n".join(lines)
