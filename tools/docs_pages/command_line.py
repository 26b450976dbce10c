"""The reference of the commands and of the configuration files."""

from collections.abc import Iterator
from typing import Any, Final

import click
import msgspec

from docs_pages.markdown import generated_from, page, table
from jumping_vpn.cli.failures import ExitCode
from jumping_vpn.cli.main import jvpn
from jumping_vpn.client.config import ClientConfig
from jumping_vpn.gateway.config import ClientEntry, GatewayConfig

COMMANDS = """Commands that give figures take `--json`. A failure is one sentence on standard
error, with the exit code of its cause."""

CONFIGURATION = """Files are TOML of mode 0600, and refused when others can read them. An unknown
field, a wrong type or a value out of range is an error that names the file, the line, the field and
what was expected. The fields of `[policy]` are in [policy](policy.md)."""

FILES: Final[tuple[tuple[str, str, type[msgspec.Struct]], ...]] = (
    ("gateway.toml", "In the gateway's directory; `jvpn gateway init` writes it.", GatewayConfig),
    (
        "clients/NAME.toml",
        "One for each client; `jvpn gateway reload` makes a running gateway read them again.",
        ClientEntry,
    ),
    (
        "The client's file",
        "`jvpn gateway add-client` prints it, `jvpn up` reads it.",
        ClientConfig,
    ),
)


def commands() -> str:
    """Return the reference of the commands."""
    codes = table(("code", "meaning"), ((code.value, code.meaning) for code in ExitCode))
    return page(
        "# Commands",
        generated_from("jumping_vpn/cli"),
        COMMANDS,
        "## Exit codes",
        codes,
        *(_command(path, command) for path, command in walk(jvpn, "jvpn")),
    )


def configuration() -> str:
    """Return the reference of the configuration files."""
    heads = ("setting", "default", "meaning")
    parts = [
        part
        for name, purpose, shape in FILES
        for part in (f"## {name}", purpose, table(heads, settings(shape)))
    ]
    source = "jumping_vpn/gateway/config.py and jumping_vpn/client/config.py"
    return page("# Configuration", generated_from(source), CONFIGURATION, *parts)


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from walk(below, f"{path} {name}")


def settings(shape: type[msgspec.Struct], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield every setting of a file with its default and its meaning, tables in depth."""
    described: Any = msgspec.inspect.type_info(shape)
    for field, info in zip(msgspec.structs.fields(shape), described.fields, strict=True):
        name = f"{above}{field.encode_name}"
        yield f"`{name}`", _default(field), info.type.extra_json_schema["description"]
        if isinstance(info.type.type, msgspec.inspect.StructType):
            yield from settings(info.type.type.cls, f"{name}.")


def _command(path: str, command: click.Command) -> str:
    context = click.Context(
        command,
        info_name=path,
        terminal_width=100,
        max_content_width=100,
        help_option_names=["-h", "--help"],
    )
    return f"## {path}\n\n```text\n{click.unstyle(command.get_help(context))}\n```"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    if value is None or isinstance(value, msgspec.Struct | dict) or value == "":
        return ""
    return f"`{msgspec.json.encode(value, enc_hook=str).decode()}`"


PAGES = {"reference/commands.md": commands, "reference/configuration.md": configuration}
