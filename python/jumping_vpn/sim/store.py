"""The store as it is explored: one record, its compare-and-set, and what the events told."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from jumping_vpn.core.events import decode_event, encode_event
from jumping_vpn.core.ids import SessionNumber
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Record
from jumping_vpn.core.replay import replay
from jumping_vpn.core.session.inputs import OBSERVATIONS, Input
from jumping_vpn.core.session.model import Session, State


class Ledger(Struct, frozen=True):
    """What is durable. `told` is the session as its events tell it, `broken` what they break."""

    record: Record | None = None
    told: Session | None = None
    broken: tuple[str, ...] = ()


def created(ledger: Ledger, save: Save, number: SessionNumber) -> Ledger | None:
    """Return the store with a new session; None if there is one."""
    if ledger.record is not None:
        return None
    return _told(ledger, replace(save.record, number=number), save)


def saved(ledger: Ledger, save: Save) -> Ledger | None:
    """Return the store after a compare-and-set; None if an expectation does not hold."""
    record = ledger.record
    if record is None:
        return None
    expected = save.expected_version, save.expected_ownership_epoch
    if (record.session.version, record.session.ownership_epoch) != expected:
        return None
    return _told(_noted(ledger, record, save.record), save.record, save)


def touched(ledger: Ledger, record: Record) -> Ledger | None:
    """Return the store with a record's unversioned fields; None if the version is another."""
    stored = ledger.record
    if stored is None or stored.session.version != record.session.version:
        return None
    return replace(_noted(ledger, stored, record), record=record)


def _told(ledger: Ledger, record: Record, save: Save) -> Ledger:
    """Return the store with the events of a write, each compared with the input behind it."""
    told, broken = ledger.told, list(ledger.broken)
    for event, given in zip(save.events, save.applied, strict=True):
        if isinstance(given, OBSERVATIONS) and not _is_about(given, told):
            broken.append(f"{type(given).__name__} of a binding that was left moved the session")
        replayed = replay(told, decode_event(encode_event(event)))
        told = replayed.session
        broken += replayed.broken
    if told is None or told.version != record.session.version:
        broken.append(f"no event tells version {record.session.version}")
    return Ledger(record, told, tuple(broken))


def _is_about(given: Input, told: Session | None) -> bool:
    """Say whether an observation was made on the binding that the session had."""
    binding = None if told is None else told.binding
    return binding is not None and binding.epoch == getattr(given, "epoch", None)


def _noted(ledger: Ledger, before: Record, after: Record) -> Ledger:
    """Return the store with what a write takes back that must never go back."""
    broken = [text for text, holds in _ONWARD if not holds(before, after)]
    return replace(ledger, broken=(*ledger.broken, *broken)) if broken else ledger


def _attempts(record: Record) -> int:
    return max(each.attempt for each in (record.confirmed, record.unconfirmed) if each)


def _accepts_newer(before: Record, after: Record) -> bool:
    """Say whether another root was accepted only for a newer attempt."""
    known = {root.sealed for root in (before.confirmed, before.unconfirmed) if root}
    made = {root.sealed: root for root in (after.confirmed, after.unconfirmed) if root}
    fresh = [root for sealed, root in made.items() if sealed and sealed not in known]
    return all(root.attempt > _attempts(before) for root in fresh)


_ONWARD: Final[tuple[tuple[str, Callable[[Record, Record], bool]], ...]] = (
    ("the attempt floor went back", lambda was, now: now.attempt_floor >= was.attempt_floor),
    ("the control floor went back", lambda was, now: now.control_floor >= was.control_floor),
    ("a binding epoch went back", lambda was, now: now.session.epoch >= was.session.epoch),
    ("an attempt was accepted twice", _accepts_newer),
    (
        "a session that had ended went on",
        lambda was, now: was.session.state is not State.TERMINATED or was == now,
    ),
)
