"""`jvpn version`."""

import json
import platform

import click

import jumping_vpn
from jumping_vpn.cli.lazy import examples


@click.command(epilog=examples("jvpn version", "jvpn version --json"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def version(*, as_json: bool) -> None:
    """Print the version."""
    facts = {
        "version": jumping_vpn.__version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(f"jvpn {facts['version']}")
