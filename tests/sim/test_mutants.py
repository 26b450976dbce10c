"""Guards taken out of the code, one at a time: each must show within a small exploration."""

import pytest

from jumping_vpn.core import requests
from jumping_vpn.core.client import ClientCore
from jumping_vpn.core.session import machine
from jumping_vpn.sim.configurations import LARGE, SMALL
from jumping_vpn.sim.recovery import attached
from jumping_vpn.sim.search import Search
from jumping_vpn.sim.world import World
from support.mutations import (
    Patch,
    a_session_that_is_over_keeps_its_roots,
    an_accepted_root_counts_as_confirmed_at_once,
    an_attempt_below_the_floor_is_accepted,
    another_candidate_of_the_accepted_attempt_is_accepted_too,
    the_client_uses_a_root_that_is_not_durable,
    without_rungs,
)

STATES = 20_000
"""A guard that does not show within so many conditions is not shown."""


def the_copy_of_an_accepted_request_is_judged_again(patch: Patch) -> None:
    without_rungs(patch, "not a copy of the accepted request: the same bytes get the same answer")
    without_rungs(patch, "not another candidate of the accepted attempt")


def the_session_may_be_asked_for_after_its_end(patch: Patch) -> None:
    class NoState:
        TERMINATED = object()

    patch.setattr(requests, "State", NoState)


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
