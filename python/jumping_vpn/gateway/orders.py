"""The gateway's orders, one call of the data plane each."""

from collections.abc import Callable

from jumping_vpn.core import ready
from jumping_vpn.core.ids import SessionId, SessionNumber
from jumping_vpn.core.ready import Derived, encoded
from jumping_vpn.core.record import Record
from jumping_vpn.core.wire.messages import Envelope
from jumping_vpn.gateway.plane import Plane


class Orders:
    """Carries out single orders; which, and in what order, is not decided here."""

    def __init__(self, plane: Plane, *, released: Callable[[SessionId], None]) -> None:
        self._plane = plane
        self._released = released

    def derive(self, order: ready.Derive) -> Derived:
        """Return the data plane's answer to a `derive`; installs nothing."""
        match order:
            case ready.DeriveJump():
                return self._plane.derive(order.token, order.epoch, order.owner, ids=order.ids)
            case ready.SealBirth():
                return Derived(sealed=self._plane.seal_birth(order.birth))
            case _:
                raise TypeError(f"{type(order).__name__} is not a gateway's order")

    def bind(self, order: ready.Bind, *, created: SessionNumber) -> None:
        """Change what the data plane carries; `created` is the number that a create returned."""
        match order:
            case ready.BindJump():
                self._plane.bind(order.token, keep_previous=order.keep_previous)
            case ready.AdoptBirth():
                self._plane.adopt_birth(order.birth, created, order.addresses, order.policy)
            case ready.DropBinding():
                self._say(order.number, order.last_words)
                self._plane.drop_binding(order.number, order.epoch)
            case ready.Release():
                self._say(order.number, order.last_words)
                self._plane.release(order.number)
                self._released(order.session_id)
            case ready.SetLimits():
                self._plane.set_limits(order.number, order.policy)
            case ready.Install():
                self._plane.install(
                    order.number,
                    order.session_id,
                    order.confirmed,
                    order.unconfirmed,
                    order.addresses,
                    order.policy,
                )
            case _:
                raise TypeError(f"{type(order).__name__} is not a gateway's order")

    def send(self, order: ready.Send, *, created: SessionNumber) -> None:
        """Tell the other side."""
        match order:
            case ready.Respond():
                self._plane.respond(order.token, encoded(order.message))
            case ready.RepeatAnswer():
                if not self._plane.repeat_answer(order.token):
                    self._plane.respond(order.token, encoded(order.otherwise))
            case ready.Forget():
                self._plane.forget(order.token)
            case ready.Gone():
                self._plane.session_gone(order.token)
            case ready.SessionFound():
                self._plane.session_found(order.token)
            case ready.Grant():
                number = order.number or created
                ids = self._plane.lookup_ids(number, order.ids)
                self._plane.grant(number, encoded(order.message, ids))
            case ready.RejectBirth():
                self._plane.reject_birth(order.birth, encoded(order.message))
            case ready.Message():
                ids = self._plane.lookup_ids(order.number, order.ids) if order.ids else ()
                self._plane.send_message(order.number, encoded(order.message, ids))
            case _:
                raise TypeError(f"{type(order).__name__} is not a gateway's order")

    def install(self, record: Record) -> None:
        """Hold a session from the store: roots and addresses, without a binding."""
        unconfirmed = record.unconfirmed
        self._plane.install(
            record.number,
            record.session.session_id,
            (record.confirmed.epoch, record.confirmed.sealed),
            None if unconfirmed is None else (unconfirmed.epoch, unconfirmed.sealed),
            record.addresses,
            record.policy,
        )

    def release_addresses(self, record: Record) -> None:
        """Give back the addresses of a session that was not created after all."""
        self._released(record.session.session_id)

    def _say(self, number: SessionNumber, words: Envelope | None) -> None:
        if words is not None:
            self._plane.send_message(number, encoded(words))
