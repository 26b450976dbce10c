"""The condition of a process: copied before it is changed, and compared without identity.

Most of a process is values that never change; a copy shares them.
"""

from collections.abc import Hashable
from contextlib import suppress
from dataclasses import is_dataclass
from enum import Enum
from types import FunctionType
from typing import Any, Final

from msgspec import Struct

IGNORED: Final = {"refusals"}
"""What only limits how often the same thing is written down."""
ATOMS: Final = (int, str, bytes, float, type(None), Enum, FunctionType)


def frozen(value: Any) -> Hashable:  # noqa: ANN401  any part of a process
    """Return something that is equal for equal contents, however they are shared or stored."""
    kind: type = type(value)
    if _is_constant(kind):
        with suppress(TypeError):
            hash(value)
            known: Hashable = value
            return known
    if issubclass(kind, dict):
        return tuple((frozen(key), frozen(each)) for key, each in value.items())
    if issubclass(kind, list | tuple):
        return tuple(map(frozen, value))
    names = _names(kind) or tuple(sorted(vars(value)))
    told = (frozen(getattr(value, name)) for name in names if name not in IGNORED)
    return kind.__name__, tuple(told)


def copied(value: Any, known: dict[int, Any]) -> Any:  # noqa: ANN401  any part of a process
    """Return a copy of whatever can change; `known` are the copies made so far, by identity."""
    kind = type(value)
    if _is_constant(kind):
        return value
    copy = known.get(id(value))
    if copy is not None:
        return copy
    if issubclass(kind, dict):
        copy = known[id(value)] = {key: copied(each, known) for key, each in value.items()}
    elif issubclass(kind, list):
        copy = known[id(value)] = [copied(each, known) for each in value]
    elif issubclass(kind, tuple):
        copy = known[id(value)] = tuple([copied(each, known) for each in value])
    else:
        copy = known[id(value)] = object.__new__(kind)
        for name in _names(kind) or vars(value):
            object.__setattr__(copy, name, copied(getattr(value, name), known))
    return copy


def _is_constant(kind: type) -> bool:
    """Say whether nothing about a value of this class ever changes."""
    known = _CONSTANT.get(kind)
    if known is None:
        known = _CONSTANT[kind] = _find_constant(kind)
    return known


def _find_constant(kind: type) -> bool:
    if issubclass(kind, ATOMS):
        return True
    if issubclass(kind, Struct):
        return kind.__struct_config__.frozen
    return is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def _names(kind: type) -> tuple[str, ...]:
    """Return the slots of a class; one without them keeps a `__dict__`."""
    known = _NAMES.get(kind)
    if known is None:
        known = _NAMES[kind] = _find_names(kind)
    return known


def _find_names(kind: type) -> tuple[str, ...]:
    if issubclass(kind, Struct):
        return kind.__struct_fields__
    slots = (getattr(each, "__slots__", ()) for each in kind.__mro__)
    return tuple(name for group in slots for name in group)


_CONSTANT: Final[dict[type, bool]] = {}
_NAMES: Final[dict[type, tuple[str, ...]]] = {}
"""What was found out about a class; there are few, and asking again is most of the work."""
