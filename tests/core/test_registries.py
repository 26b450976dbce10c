"""Names that others rely on are only ever added: the committed lists are what was promised."""

from pathlib import Path

import pytest

from jumping_vpn.core.events import DATA_OF, Event, EventType
from jumping_vpn.core.policy.limits import FIELDS
from jumping_vpn.core.session.inputs import INPUTS
from jumping_vpn.core.session.reasons import Reason

PROMISED = Path(__file__).parent / "registry"
DECLARED = {
    "envelope": list(Event.__struct_fields__),
    "event_fields": [
        f"{each.value}.{field}" for each in EventType for field in DATA_OF[each].__struct_fields__
    ],
    "events": [each.value for each in EventType],
    "inputs": [each.__name__ for each in INPUTS],
    "policy_fields": [each.name for each in FIELDS],
    "reasons": [each.value for each in Reason],
}


@pytest.mark.parametrize("name", DECLARED)
def test_no_promised_name_was_renamed_or_removed(name: str):
    lost = set(promised(name)) - set(DECLARED[name])

    assert not lost, "a promised name stays; add the other one beside it"


@pytest.mark.parametrize("name", DECLARED)
def test_every_declared_name_is_promised(name: str):
    added = set(DECLARED[name]) - set(promised(name))

    assert not added, f"append to tests/core/registry/{name}.txt"


@pytest.mark.parametrize("name", DECLARED)
def test_every_name_is_promised_once(name: str):
    assert len(promised(name)) == len(set(promised(name)))


def promised(name: str) -> list[str]:
    return (PROMISED / f"{name}.txt").read_text().split()
