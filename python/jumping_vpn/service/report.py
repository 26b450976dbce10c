"""What a person at the terminal is told while a service runs; the command line implements it."""

from typing import Protocol

from jumping_vpn.core.events import Event


class Reporter(Protocol):
    """Where a person sees what happens. It neither waits nor fails."""

    def happened(self, event: Event) -> None:
        """Show an event of this node's or client's log."""

    def logged(self, line: bytes) -> None:
        """Show an event that stands in this node's log in this line."""

    def say(self, text: str) -> None:
        """Show where the service stands."""

    def warn(self, text: str) -> None:
        """Show what went wrong on this machine, and what can be done."""
