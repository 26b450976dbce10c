"""Which session has which inner addresses; the records say so, this is their index."""

from collections.abc import Sequence

from jumping_vpn.core.ids import SessionId
from jumping_vpn.gateway.pool import Pool
from jumping_vpn.system.settings import Subnet


class AddressBook:
    """Allots each session one address of every subnet, the same for as long as it lives."""

    def __init__(self, subnets: Sequence[Subnet]) -> None:
        self._pool = Pool(subnets)
        self._of: dict[SessionId, tuple[str, ...]] = {}

    def hold(self, session_id: SessionId, addresses: tuple[str, ...]) -> None:
        """Note what a session from the store has."""
        self._of[session_id] = addresses
        self._pool.take(addresses)

    def allocate(self, session_id: SessionId) -> tuple[str, ...] | None:
        """Return a session's addresses, the same for the same session; None: none are left."""
        held = self._of.get(session_id)
        if held is not None:
            return held
        addresses = self._pool.lowest()
        if addresses is not None:
            self.hold(session_id, addresses)
        return addresses

    def release(self, session_id: SessionId) -> None:
        """Take back what a session had."""
        self._pool.give_back(self._of.pop(session_id, ()))
