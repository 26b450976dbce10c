"""What the native side reports, as the core's classes.

A native fact is a tuple: the name of its class, then the values of its fields in their order. So
one table, made from the classes themselves, turns all of them.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from jumping_vpn.core.facts import FACTS, Fact

NativeFact: TypeAlias = tuple[Any, ...]

KINDS: Final = {kind.__name__: (kind, kind.__struct_fields__) for kind in FACTS}


def fact_of(native: NativeFact) -> Fact:
    """Return the fact that a native tuple stands for."""
    name, *values = native
    kind, names = KINDS[name]
    return kind(**dict(zip(names, values, strict=True)))


def facts_of(natives: Sequence[NativeFact]) -> tuple[Fact, ...]:
    """Return the facts of one batch, in their order."""
    return tuple(fact_of(native) for native in natives)
