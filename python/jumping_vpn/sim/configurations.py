"""The explorations that are run: what may go wrong in each, and how many conditions there are.

The numbers are exact, and part of what is claimed: a change of the code that changes what can
happen changes a number, and whoever makes it says so.
"""

from typing import Final

from msgspec import Struct

from jumping_vpn.sim.condition import Budget, Fault


class Configuration(Struct, frozen=True, kw_only=True):
    """One exploration: how often each fault may happen, and the number of conditions."""

    name: str
    faults: dict[Fault, int]
    states: int

    @property
    def budget(self) -> Budget:
        """The faults by their place."""
        return tuple(self.faults.get(fault, 0) for fault in Fault)


def _one(name: str, states: int, **faults: int) -> Configuration:
    found = {Fault[each.upper()]: count for each, count in faults.items()}
    return Configuration(name=name, faults=found, states=states)


SMALL: Final = (
    _one("silence", 41, silence=1),
    _one("jump", 9, jump=1),
    _one("silence, lateness", 426, silence=1, lateness=1),
    _one("silence, client crash", 596, silence=1, client_crash=1),
    _one("silence, gateway crash", 480, silence=1, gateway_crash=1),
    _one("silence, store failure", 125, silence=1, store_failure=1),
    _one("silence, wake", 5632, silence=1, wake=1),
    _one("two silences", 1265, silence=2),
    _one("silence, jump", 429, silence=1, jump=1),
    _one("jump, both crash", 1010, jump=1, client_crash=1, gateway_crash=1),
)
"""Explored to the end with every run of the unit tests."""

LARGE: Final = (
    _one("silence, wake, store failure", 40_308, silence=1, wake=1, store_failure=1),
    _one("silence, jump, wake", 141_850, silence=1, jump=1, wake=1),
    _one("silences, crashes", 638_888, silence=2, client_crash=1, gateway_crash=1),
    _one(
        "silence, crashes, store failure",
        74_614,
        silence=1,
        client_crash=1,
        gateway_crash=1,
        store_failure=1,
    ),
    _one("silence, lateness, wake", 120_110, silence=1, lateness=1, wake=1),
    _one("silence, jump, crashes", 190_658, silence=1, jump=1, client_crash=1, gateway_crash=1),
)
"""Explored to the end by `make explore`."""

DEEP: Final = Configuration(name="every fault, twice", faults=dict.fromkeys(Fault, 2), states=0)
"""Too large to be explored to the end: as deep as there is time."""
