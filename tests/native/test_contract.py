"""The facts of the two languages are the same, field by field."""

import re
from pathlib import Path

from jumping_vpn.core.facts import FACTS

CONVERSION = Path(__file__).parents[2] / "crates/jump-py/src/facts.rs"
# Values that are computed from a field of another name; the rows are read by eye.
DERIVED = {"loss", "loss_in", "loss_out"}
PLAIN = re.compile(r"as they are \{\n(.*?)\n        \}", re.DOTALL)
ROW = re.compile(r"(\w+) \{([^}]*)\}")
TUPLE = re.compile(r'tuple!\(\s*py,\s*("\w+"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)')


def test_every_fact_has_a_tuple_of_as_many_fields() -> None:
    declared = {kind.__name__: len(kind.__struct_fields__) for kind in FACTS}

    assert {kind: len(values) for kind, values in converted()} == declared
    assert len(converted()) == len(declared)


def test_every_plain_value_stands_where_its_field_does() -> None:
    names = {kind.__name__: list(kind.__struct_fields__) for kind in FACTS}

    for kind, values in converted():
        for name, value in zip(names[kind], values, strict=True):
            assert name in re.findall(r"\w+", value) or name in DERIVED, f"{kind}: {value}"


def converted() -> list[tuple[str, list[str]]]:
    """Return each fact that is converted, and what stands in each place of its tuple."""
    text = CONVERSION.read_text()
    rows = [(kind, split(fields)) for kind, fields in ROW.findall(PLAIN.findall(text)[0])]
    made = [split(arguments) for arguments in TUPLE.findall(text)]
    return rows + [(kind.strip('"'), values) for kind, *values in made]


def split(arguments: str) -> list[str]:
    """Split at the commas that are outside of parentheses."""
    parts = re.split(r",(?![^()]*\))", arguments)
    return [part.strip() for part in parts if part.strip()]
