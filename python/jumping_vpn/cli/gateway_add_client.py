"""`jvpn gateway add-client`: a key pair whose private half goes into one file, and nowhere else."""

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from jumping_vpn.cli.control import ask_service
from jumping_vpn.cli.failures import ExitCode, Failure
from jumping_vpn.cli.lazy import examples
from jumping_vpn.gateway.config import CLIENT_NAME, GatewayPaths, load
from jumping_vpn.gateway.status import Done
from jumping_vpn.service.control import NotRunning
from jumping_vpn.service.files import write_durably
from jumping_vpn.system.settings import Key

TEMPLATE: Final = """\
# The configuration of the Jumping VPN client "{name}". It holds a private key: keep it 0600.
# Run: jvpn up FILE

name = "{name}"
private_key = "@PRIVATE_KEY@"

[gateway]
public_key = "{public_key}"
endpoints = {endpoints}
node = {node}
"""


@click.command(
    "add-client",
    epilog=examples(
        "jvpn gateway add-client /etc/jumping-vpn laptop > laptop.toml",
        "jvpn gateway add-client /etc/jumping-vpn phone --output phone.toml",
    ),
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("name")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write the file here (0600) instead of printing it; it must not exist.",
)
def add_client(directory: Path, name: str, output: Path | None) -> None:
    """Let the client NAME in, and print its one configuration file.

    The private key goes into that file and is kept nowhere else. A gateway that is running knows
    the client at once. To shut a client out, set `allowed = false` in DIRECTORY/clients/NAME.toml
    and run `jvpn gateway reload DIRECTORY`.
    """
    if re.fullmatch(CLIENT_NAME, name) is None:
        raise Failure(
            ExitCode.USAGE, f"{name!r} is no client name: up to 64 letters, digits, _ . - are"
        )
    config = load(directory)
    entry = GatewayPaths(directory).clients / f"{name}.toml"
    if entry.exists():
        raise Failure(
            ExitCode.FAILURE, f"{entry}: the client {name} is there already; nothing was changed"
        )
    from jumping_vpn.dataplane.keys import gateway_public_key, write_client_config

    text = TEMPLATE.format(
        name=name,
        public_key=Key.of(gateway_public_key(directory)),
        endpoints=json.dumps(list(config.endpoints)),
        node=config.node,
    )
    with _destination(output) as descriptor:
        public = Key.of(write_client_config(descriptor, text))
    write_durably(entry, f'public_key = "{public}"\nallowed = true\n'.encode())
    _tell_gateway(directory)
    if output is not None:
        click.echo(f"Wrote {output}. On the client, as root: jvpn up {output}", err=True)


@contextmanager
def _destination(output: Path | None) -> Iterator[int]:
    """Yield where the secret goes; a file is private to its owner, also one the shell made."""
    if output is None:
        sys.stdout.flush()
        descriptor = sys.stdout.fileno()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
        yield descriptor
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(output, flags, 0o600)
    except FileExistsError:
        raise Failure(ExitCode.FAILURE, f"{output} exists; nothing was changed") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _tell_gateway(directory: Path) -> None:
    """Ask a running gateway to read its clients again; any other will read them at its start."""
    try:
        ask_service(GatewayPaths(directory).control, "reload", Done)
    except NotRunning:
        return
