"""Who listens to what services tell a person: nobody, here."""

from jumping_vpn.core.events import Event


class Deaf:
    """A terminal that nobody looks at."""

    def happened(self, event: Event) -> None:
        """Show an event."""

    def logged(self, line: bytes) -> None:
        """Show a line of the log."""

    def say(self, text: str) -> None:
        """Show where the service stands."""

    def warn(self, text: str) -> None:
        """Show what went wrong."""
