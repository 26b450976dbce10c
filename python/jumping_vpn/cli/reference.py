"""The reference pages of commands and configuration, made from what they describe."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

import click
import msgspec

from jumping_vpn.cli.failures import ExitCode
from jumping_vpn.cli.main import jvpn
from jumping_vpn.client.config import ClientConfig
from jumping_vpn.core.policy.limits import FIELDS, Policy
from jumping_vpn.gateway.config import ClientEntry, GatewayConfig

COMMANDS: Final = """\
# Commands

Generated from the commands; `make bless` rewrites this page.

Commands that give figures take `--json`. A failure is one sentence on standard error.
"""
CONFIGURATION: Final = """\
# Configuration

Generated from the types that read the files; `make bless` rewrites this page.

Files are TOML, mode 0600, and refused when others can read them. An unknown field, a wrong type or
a value out of range is refused with the file, the line, the field and what was expected.
"""
FILES: Final[tuple[tuple[str, str, type[msgspec.Struct]], ...]] = (
    (
        "gateway.toml",
        "In the gateway's directory; `jvpn gateway init` writes it. Read at the start.",
        GatewayConfig,
    ),
    (
        "clients/NAME.toml",
        "In the gateway's directory, one for each client; `jvpn gateway add-client` writes it. "
        "Read at the start and by `jvpn gateway reload`.",
        ClientEntry,
    ),
    (
        "The client's file",
        "`jvpn gateway add-client` prints it, `jvpn up` reads it.",
        ClientConfig,
    ),
)


def render_commands() -> str:
    """Return the page of commands."""
    sections = [_command(path, command) for path, command in walk(jvpn, "jvpn")]
    return "\n".join([COMMANDS, _exit_codes(), *sections])


def render_configuration() -> str:
    """Return the page of configuration files and policy."""
    sections = [
        f"## {name}\n\n{purpose}\n\n" + _table(_settings(shape)) for name, purpose, shape in FILES
    ]
    return "\n".join([CONFIGURATION, *sections, _policy()])


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from walk(below, f"{path} {name}")


def settings(shape: type[msgspec.Struct], table: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield every setting of a file as its name, its field and its type, tables in depth."""
    for field, info in zip(
        msgspec.structs.fields(shape), msgspec.inspect.type_info(shape).fields, strict=True
    ):
        name = f"{table}{field.encode_name}"
        yield name, field, info.type
        inner = info.type.type if isinstance(info.type, msgspec.inspect.Metadata) else info.type
        if isinstance(inner, msgspec.inspect.StructType):
            yield from settings(inner.cls, f"{name}.")


def meaning(info: Any) -> str:  # noqa: ANN401 - msgspec's own
    """Return what a setting is for, as its type says."""
    if isinstance(info, msgspec.inspect.Metadata):
        return str((info.extra_json_schema or {}).get("description", ""))
    return ""


def _command(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
    return f"## {path}\n\n```text\n{click.unstyle(command.get_help(context))}\n```\n"


def _exit_codes() -> str:
    rows = [("code", "meaning"), *((str(code.value), code.meaning) for code in ExitCode)]
    return "## Exit codes\n\n" + _table(rows)


def _settings(shape: type[msgspec.Struct]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("setting", "default", "meaning")]
    for name, field, info in settings(shape):
        rows.append((f"`{name}`", _default(field), meaning(info)))
    return rows


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory() if callable(field.default_factory) else None
    if isinstance(value, msgspec.Struct | dict) or value in {None, ""}:
        return ""
    return f"`{msgspec.json.encode(value, enc_hook=str).decode()}`"


def _policy() -> str:
    defaults = {field.name: field.default for field in fields(Policy)}
    rows = [("field", "unit", "default", "range", "meaning")]
    rows += [
        (
            f"`{each.name}`",
            each.unit,
            f"`{msgspec.json.encode(defaults[each.name]).decode()}`",
            each.range,
            each.meaning,
        )
        for each in FIELDS
    ]
    return "## Policy fields\n\nIn `[policy]` of either file.\n\n" + _table(rows)


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *body = rows
    rule = tuple("---" for _ in head)
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *body))
