"""Every condition that a few faults can lead to: their number, and that each of them is right."""

import pytest

from jumping_vpn.sim.configurations import SMALL, Configuration
from jumping_vpn.sim.recovery import attached
from jumping_vpn.sim.search import Search
from jumping_vpn.sim.world import World

QUICK = [each for each in SMALL if each.states < 1_500]


@pytest.mark.parametrize("configuration", QUICK, ids=lambda each: each.name)
def test_every_condition_holds_and_recovers(configuration: Configuration) -> None:
    world = World()

    findings = Search(world, attached(world, configuration.budget)).run()

    assert findings.counterexample is None
    assert (findings.states, findings.exhausted) == (configuration.states, True)
