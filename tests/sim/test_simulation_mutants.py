"""Guards taken out of drivers and roles, one at a time: each must show in a seeded world."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from jumping_vpn.core import courtship
from jumping_vpn.core.ids import NodeId
from jumping_vpn.core.memory import Memory
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import SetLimits
from jumping_vpn.core.record import Record
from jumping_vpn.core.session import machine
from jumping_vpn.gateway import driver
from jumping_vpn.gateway.driver import GatewayDriver
from jumping_vpn.sim.virtual.scenario import Fault, Kind, Scenario, scenario_of
from jumping_vpn.sim.virtual.store import ShakyStore
from jumping_vpn.sim.virtual.world import play
from jumping_vpn.store.contract import StoreUnavailable
from support.mutations import (
    Patch,
    a_session_that_is_over_keeps_its_roots,
    an_accepted_root_counts_as_confirmed_at_once,
    an_attempt_below_the_floor_is_accepted,
    another_candidate_of_the_accepted_attempt_is_accepted_too,
    the_client_uses_a_root_that_is_not_durable,
    without_rungs,
)

pytestmark = pytest.mark.native


def a_write_that_failed_counts_as_done(patch: Patch) -> None:
    write = GatewayDriver._write

    async def careless(self: GatewayDriver, save: object) -> Record:
        try:
            return await write(self, save)  # type: ignore[arg-type]
        except StoreUnavailable:
            return save.record  # type: ignore[attr-defined]

    patch.setattr(GatewayDriver, "_write", careless)


def a_write_of_unknown_outcome_counts_as_done(patch: Patch) -> None:
    async def believed(_: GatewayDriver, meant: Record) -> Record:
        return meant

    patch.setattr(GatewayDriver, "_read_back", believed)


def what_follows_does_not_wait_for_the_write(patch: Patch) -> None:
    save = GatewayDriver._save

    async def hasty(self: GatewayDriver, number: object, order: object) -> object:
        if order is None or getattr(order, "create", False) or not hasattr(order, "record"):
            return await save(self, number, order)  # type: ignore[arg-type]
        asyncio.get_running_loop().create_task(save(self, number, order))  # type: ignore[arg-type]
        self._remember(order.record)
        return None, number

    patch.setattr(GatewayDriver, "_save", hasty)


def moves_that_were_not_saved_are_told(patch: Patch) -> None:
    patch.setattr(Memory, "forget_moves", lambda _, **__: None)


def a_clients_data_plane_keeps_to_the_defaults(patch: Patch) -> None:
    def defaults(**_: object) -> SetLimits:
        return SetLimits(number=0, policy=Policy())

    patch.setattr(courtship, "SetLimits", defaults)


def the_budget_of_switches_is_not_asked(patch: Patch) -> None:
    without_rungs(patch, "the budget of switches is not used up")


def the_death_of_a_binding_that_was_left_counts(patch: Patch) -> None:
    patch.setattr(machine, "is_stale", lambda *_: False)


def the_number_of_a_start_is_not_durable(patch: Patch) -> None:
    async def always_the_first(_: ShakyStore, __: NodeId) -> int:
        return 1

    patch.setattr(ShakyStore, "start_node", always_the_first)


def a_restarted_gateway_believes_in_the_bindings_of_before(patch: Patch) -> None:
    patch.setattr(Memory, "is_live", lambda *_: True)


def nobody_extends_the_fence(patch: Patch) -> None:
    async def idle(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    patch.setattr(driver, "keep_fence", idle)


def only(seed: int, *faults: Fault) -> Scenario:
    return replace(scenario_of(seed), faults=faults)


CATCHERS: Sequence[tuple[object, Scenario]] = (
    (a_write_that_failed_counts_as_done, scenario_of(9)),
    (a_write_of_unknown_outcome_counts_as_done, scenario_of(212)),
    (what_follows_does_not_wait_for_the_write, scenario_of(13)),
    (
        moves_that_were_not_saved_are_told,
        only(
            71,
            Fault(at_ms=14_420, for_ms=4_000, kind=Kind.STORE_UNREACHABLE),
            Fault(at_ms=14_562, for_ms=4_000, kind=Kind.HOLE_UP, client=1, interface="wwan0"),
        ),
    ),
    (a_clients_data_plane_keeps_to_the_defaults, only(6)),
    (
        the_client_uses_a_root_that_is_not_durable,
        only(
            3,
            Fault(at_ms=2_900, for_ms=4_000, kind=Kind.STATE_DISK_SLOW, amount=1_500),
            Fault(at_ms=3_000, for_ms=100, kind=Kind.JUMP),
            Fault(at_ms=3_900, for_ms=400, kind=Kind.CLIENT_CRASH),
        ),
    ),
    (an_attempt_below_the_floor_is_accepted, scenario_of(91)),
    (another_candidate_of_the_accepted_attempt_is_accepted_too, scenario_of(11)),
    (the_budget_of_switches_is_not_asked, scenario_of(6)),
    (an_accepted_root_counts_as_confirmed_at_once, scenario_of(1)),
    (a_session_that_is_over_keeps_its_roots, scenario_of(1)),
    (the_death_of_a_binding_that_was_left_counts, scenario_of(6)),
    (the_number_of_a_start_is_not_durable, scenario_of(1)),
    (
        a_restarted_gateway_believes_in_the_bindings_of_before,
        only(3, Fault(at_ms=3_000, for_ms=4_000, kind=Kind.GATEWAY_CRASH)),
    ),
    (nobody_extends_the_fence, scenario_of(1)),
)
"""Each guard that is taken out, and the world that must show it."""


def _named(value: object) -> str:
    return getattr(value, "__name__", f"seed {getattr(value, 'seed', '')}")


@pytest.mark.parametrize(("mutant", "scenario"), CATCHERS, ids=_named)
def test_a_guard_taken_out_is_noticed(mutant, scenario: Scenario, monkeypatch: Patch) -> None:
    assert play(scenario).findings == []
    mutant(monkeypatch)

    findings = play(scenario).findings

    assert findings != []
