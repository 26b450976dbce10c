"""The client's orders, one call of the data plane each."""

from typing import Final

from jumping_vpn.client.plane import Plane
from jumping_vpn.core import ready
from jumping_vpn.core.client import Activated
from jumping_vpn.core.ready import Derived, encoded

SELF: Final = 0


class Orders:
    """Carries out single orders; which, and in what order, is not decided here."""

    def __init__(self, plane: Plane, *, mark: int) -> None:
        self._plane = plane
        self._mark = mark

    def derive(self, order: ready.Derive) -> Derived:
        """Return the data plane's answer to a `derive`; installs nothing."""
        match order:
            case ready.Adopt():
                return Derived(sealed=self._plane.adopt(order.token, order.epoch, order.owner))
            case ready.SealRoot():
                return Derived(sealed=self._plane.seal_root())
            case _:
                raise TypeError(f"{type(order).__name__} is not a client's order")

    def bind(self, order: ready.Bind) -> None:
        """Change what the data plane carries."""
        match order:
            case ready.Restore():
                self._plane.restore(order.session_id, order.epoch, order.sealed, order.policy)
            case ready.DropBinding():
                if order.last_words is not None:
                    self._plane.send_message(SELF, encoded(order.last_words))
                self._plane.drop_binding(SELF, order.epoch)
            case ready.SetLimits():
                self._plane.set_limits(SELF, order.policy)
            case ready.Withdraw():
                self._plane.withdraw()
            case ready.Erase():
                self._plane.erase()
            case _:
                self._bind_path(order)

    def _bind_path(self, order: ready.Bind) -> None:
        match order:
            case ready.OpenPath():
                host, _, port = order.endpoint.rpartition(":")
                remote = host.removeprefix("[").removesuffix("]")
                self._plane.open_path(order.path, order.interface, remote, int(port), self._mark)
            case ready.ClosePath():
                self._plane.close_path(order.path)
            case ready.ProbePath():
                self._plane.probe(order.path, order.lookup_id, order.interval_us)
            case ready.StartHandshake():
                self._plane.start_handshake(order.path)
            case ready.StopHandshake():
                self._plane.stop_handshake()
            case _:
                raise TypeError(f"{type(order).__name__} is not a client's order")

    def activate(self, order: ready.Activate) -> Activated:
        """Install the adopted binding and return what it cost."""
        resent, given_up, in_doubt = self._plane.activate(order.token)
        return Activated(resent=resent, given_up=given_up, in_doubt=in_doubt)

    def send(self, order: ready.Send) -> None:
        """Tell the other side."""
        match order:
            case ready.Request():
                candidates = [
                    (path, lookup_id, encoded(message))
                    for path, lookup_id, message in order.candidates
                ]
                self._plane.request(order.attempt, candidates, early=order.early)
            case ready.Message():
                self._plane.send_message(SELF, encoded(order.message))
            case _:
                raise TypeError(f"{type(order).__name__} is not a client's order")
