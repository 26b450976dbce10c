"""A click group that loads a command only when it is called, so that `--help` costs nothing."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from jumping_vpn.cli.failures import Failure, explain


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is found (`module:name`, below this package), and its line in the list."""

    target: str
    line: str


class LazyGroup(click.Group):
    """A group whose commands are listed by name and loaded on demand.

    What a command raises is told as one sentence, with the exit code of its cause.
    """

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table: the order in which a person needs them."""
        del ctx
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the command."""
        del ctx
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(f"{__package__}.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without loading what it lists."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in self.entries.items()])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own
        """Run the command; tell an expected failure in one sentence."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            raise failure from error


def examples(*lines: str) -> str:
    """Return the epilog that shows a command in use."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


__all__ = ["Entry", "Failure", "LazyGroup", "examples"]
