"""Guards taken out of the code, one at a time: each must show within a small exploration."""

import msgspec
import pytest

from jumping_vpn.core import jumps, reattach, requests
from jumping_vpn.core.client import ClientCore
from jumping_vpn.core.client_desk import ClientDesk
from jumping_vpn.core.course import Course
from jumping_vpn.core.session import machine
from jumping_vpn.sim.configurations import LARGE, SMALL
from jumping_vpn.sim.recovery import attached
from jumping_vpn.sim.search import Search
from jumping_vpn.sim.world import World

STATES = 20_000
"""A guard that does not show within so many conditions is not shown."""

Patch = pytest.MonkeyPatch


def without_rung(patch: Patch, check: str) -> None:
    kept = tuple(each for each in reattach.LADDER if each.check != check)
    assert len(kept) == len(reattach.LADDER) - 1
    patch.setattr(reattach, "LADDER", kept)


def the_copy_of_an_accepted_request_is_judged_again(patch: Patch) -> None:
    without_rung(patch, "not a copy of the accepted request: the same bytes get the same answer")
    without_rung(patch, "not another candidate of the accepted attempt")


def another_candidate_of_the_accepted_attempt_is_accepted_too(patch: Patch) -> None:
    without_rung(patch, "not another candidate of the accepted attempt")


def an_attempt_below_the_floor_is_accepted(patch: Patch) -> None:
    without_rung(patch, "the attempt is not below the floor")


def an_accepted_root_counts_as_confirmed_at_once(patch: Patch) -> None:
    accept = jumps.accept

    def hasty(course: Course, *arguments: object) -> None:
        accept(course, *arguments)  # type: ignore[arg-type]
        course.change(confirmed=course.record.unconfirmed, unconfirmed=None)

    patch.setattr(requests, "accept", hasty)


def the_client_uses_a_root_that_is_not_durable(patch: Patch) -> None:
    keep = ClientDesk._keep

    def lazily(self: ClientDesk, turn: object) -> object:
        kept = keep(self, turn)  # type: ignore[arg-type]
        return (
            kept if kept is None or kept.state is None else msgspec.structs.replace(kept, lazy=True)
        )

    patch.setattr(ClientDesk, "_keep", lazily)


def the_session_may_be_asked_for_after_its_end(patch: Patch) -> None:
    class NoState:
        TERMINATED = object()

    patch.setattr(requests, "State", NoState)


def a_session_that_is_over_keeps_its_roots(patch: Patch) -> None:
    patch.setattr(Course, "_forget_secrets", lambda _: None)


def the_death_of_a_binding_that_was_left_counts_at_the_gateway(patch: Patch) -> None:
    patch.setattr(machine, "is_stale", lambda *_: False)


def the_death_of_a_binding_that_was_left_counts_at_the_client(patch: Patch) -> None:
    patch.setattr(ClientCore, "_is_current", lambda *_: True)


CATCHERS = {
    the_copy_of_an_accepted_request_is_judged_again: "silence",
    another_candidate_of_the_accepted_attempt_is_accepted_too: "silence",
    an_attempt_below_the_floor_is_accepted: "silence, client crash",
    an_accepted_root_counts_as_confirmed_at_once: "silence",
    the_client_uses_a_root_that_is_not_durable: "silence",
    the_session_may_be_asked_for_after_its_end: "silence, wake, store failure",
    a_session_that_is_over_keeps_its_roots: "silence, wake",
    the_death_of_a_binding_that_was_left_counts_at_the_gateway: "silence",
    the_death_of_a_binding_that_was_left_counts_at_the_client: "silence",
}
"""Each guard that is taken out, and the exploration that must show it."""


def _named(value: object) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("mutant", "catcher"), CATCHERS.items(), ids=_named)
def test_a_guard_taken_out_is_noticed(mutant, catcher: str, monkeypatch: Patch) -> None:
    configuration = next(each for each in (*SMALL, *LARGE) if each.name == catcher)
    mutant(monkeypatch)

    world = World()
    findings = Search(world, attached(world, configuration.budget)).run(states=STATES)

    assert findings.counterexample is not None
