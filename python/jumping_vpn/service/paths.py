"""Where the files of a service lie: what every service has in its directory."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServicePaths:
    """Where each file lies that both services have; theirs alone are in a class of each."""

    directory: Path

    @property
    def events(self) -> Path:
        """The audit log."""
        return self.directory / "events.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the running service."""
        return self.directory / "lock"

    @property
    def control(self) -> Path:
        """The control socket of the running service."""
        return self.directory / "control.sock"

    @property
    def journal(self) -> Path:
        """What the running service changed in this machine's network."""
        return self.directory / "network.journal"
