"""The control-plane protocol: envelope, messages, ladder, packets, keys, traces; its schema."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from docs_pages.markdown import generated_from, page, sentence, table
from docs_pages.vocabulary import ENVELOPE as EVENT_FIELDS
from jumping_vpn.core.reattach import LADDER, Rung
from jumping_vpn.core.wire import constants, messages

TEXT: Final = Path(__file__).parent / "text"

HEXADECIMAL: Final = {24: 32, 44: 64}
"""The length in hexadecimal of what has this length in base 64."""

FROM: Final = {
    messages.HandshakeInit: "client",
    messages.HandshakeAck: "gateway",
    messages.HandshakeReject: "gateway",
    messages.ReattachRequest: "client",
    messages.ReattachAck: "gateway",
    messages.ReattachReject: "gateway",
    messages.TransportDead: "either",
    messages.StateNotice: "gateway",
    messages.StateAck: "client",
    messages.PathReport: "either",
    messages.PolicyChanged: "gateway",
    messages.EndpointsChanged: "gateway",
    messages.Terminate: "either",
    messages.TerminateAck: "gateway",
    messages.MessageReject: "either",
}

MESSAGES: Final = f"""A control message is one msgpack map with string keys, at most
{constants.MESSAGE_BYTES_MAX} bytes, a request at most {constants.REQUEST_BYTES_MAX}. Fields may be
added, never renamed or given another meaning; an unknown field is ignored. A message of an unknown
type, or of a protocol version that is not spoken here, is answered with MESSAGE_REJECT, which names
it. A message that cannot be read, or has a field out of its bounds, ends the session if it came
from an authenticated client (SECURITY_VIOLATION); a client refuses and logs it. In logs a message
is JSON of the same shape, with bytes in hexadecimal. The JSON Schema of each message is in
[reference/schema/messages.json](reference/schema/messages.json)."""

NATIVE: Final = """REATTACH_CONFIRM, the heartbeat and the receive reports are native: they are in
the packets below, not in these messages. `sent_up_to`, the receive report and what was given up or
is in
doubt stand in the native block in front of a REATTACH_REQUEST and of its answer."""

LADDER_TEXT: Final = """The first check that does not hold decides. Rungs 1 to 4 are reached before
anything is decided about the session. Every request past rung 4 raises the floor of attempts; a
death
that a request past rung 7 reports is applied even if the request is then refused."""

EVENTS_TEXT: Final = """Events have one envelope; what each type adds is in
[the reference of events](reference/events.md), with its JSON Schema."""


def protocol() -> str:
    """Return the page."""
    return page(
        "# The control-plane protocol",
        generated_from("jumping_vpn/core/wire/messages.py and tools/docs_pages/text"),
        _text("introduction"),
        "## Envelope",
        sentence(messages.Envelope.__doc__),
        _fields(messages.WireEnvelope),
        "## Messages",
        MESSAGES,
        NATIVE,
        *(part for payload in messages.PAYLOADS for part in _message(payload)),
        "### Parts of messages",
        *(part for struct in (messages.Candidate, messages.SeenMove) for part in _part(struct)),
        *(part for enum in (messages.Trigger, messages.HandshakeRefusal) for part in _enum(enum)),
        "## Deciding a REATTACH_REQUEST",
        LADDER_TEXT,
        table(("rung", "check", "if it does not hold", "answer", "security event"), _rungs()),
        _text("packets"),
        _text("keys"),
        _text("traces"),
        "## Events",
        EVENTS_TEXT,
        table(("field", "meaning"), ((f"`{k}`", v) for k, v in EVENT_FIELDS.items())),
    )


def schema() -> str:
    """Return the JSON Schema of the envelope and of every message."""
    types = [messages.WireEnvelope, *messages.PAYLOADS]
    _, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Control messages of Jumping VPN, in the form of logs",
        "message_types": {name: each.__name__ for name, each in messages.MESSAGE_TYPES.items()},
        "$defs": {name: _in_hexadecimal(each) for name, each in sorted(components.items())},
    }
    return json.dumps(document, indent=2) + "\n"


def _message(payload: type[messages.Payload]) -> Iterator[str]:
    yield f"### {messages.TYPE_NAMES[payload]}"
    yield f"From: {FROM[payload]}. {sentence(payload.__doc__)}"
    yield _fields(payload)


def _part(struct: type[msgspec.Struct]) -> Iterator[str]:
    form = " An array, in this order." if struct.__struct_config__.array_like else ""
    yield f"#### {struct.__name__}"
    yield f"{sentence(struct.__doc__)}{form}"
    yield _fields(struct)


def _enum(enum: type[messages.Trigger] | type[messages.HandshakeRefusal]) -> Iterator[str]:
    yield f"#### {enum.__name__}"
    yield sentence(enum.__doc__)
    yield ", ".join(f"`{member.value}`" for member in enum)


def _fields(struct: type[msgspec.Struct]) -> str:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101  what inspect promises
    rows = (
        (
            f"`{each.encode_name}`",
            _form(each.type),
            _unit(each.type),
            "" if each.required else _default(each),
            _description(each.type),
        )
        for each in info.fields
    )
    return table(("field", "form and bounds", "unit", "default", "meaning"), rows)


def _default(field: inspect.Field) -> str:
    if field.default is msgspec.NODEFAULT:
        return "empty"
    return "`null`" if field.default is None else f"`{json.dumps(field.default)}`"


def _form(kind: inspect.Type) -> str:  # noqa: C901, PLR0911  one line a kind
    match kind:
        case inspect.Metadata():
            return _form(kind.type)
        case inspect.UnionType():
            return " or ".join(_form(each) for each in kind.types)
        case inspect.IntType():
            return "integer" + _bounds(kind.ge, kind.le)
        case inspect.FloatType():
            return "number" + _bounds(kind.ge, kind.le)
        case inspect.StrType():
            return "text" + _length(kind, "characters") + _pattern(kind)
        case inspect.BytesType():
            return "bytes" + _length(kind, "long")
        case inspect.VarTupleType():
            return f"list of {_form(kind.item_type)}" + _length(kind, "entries")
        case inspect.DictType():
            return "map of names to values" + _length(kind, "entries")
        case inspect.StructType() | inspect.EnumType():
            return str(kind.cls.__name__)
        case inspect.NoneType():
            return "null"
        case inspect.BoolType():
            return "true or false"
        case _:
            return "any"


def _bounds(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f", {_number(low)} .. {_number(high)}"


def _number(value: float | None) -> str:
    powers = {2**63 - 1: "2^63 - 1", 2**53: "2^53", 2**32 - 1: "2^32 - 1"}
    return powers.get(value, str(value)) if isinstance(value, int) else str(value)


def _length(kind: Any, of: str) -> str:  # noqa: ANN401  any of inspect's types with a length
    if kind.max_length is None:
        return ""
    if kind.min_length == kind.max_length:
        return f", {kind.max_length} {of}"
    return f", at most {kind.max_length} {of}"


def _pattern(kind: inspect.StrType) -> str:
    return "" if kind.pattern is None else f", `{kind.pattern}`"


def _unit(kind: inspect.Type) -> str:
    while isinstance(kind, inspect.Metadata):
        if kind.extra is not None and "unit" in kind.extra:
            return str(kind.extra["unit"])
        kind = kind.type
    return ""


def _description(kind: inspect.Type) -> str:
    while isinstance(kind, inspect.Metadata):
        found = (kind.extra_json_schema or {}).get("description")
        if found is not None:
            return str(found)
        kind = kind.type
    return ""


def _rungs() -> Iterator[tuple[object, ...]]:
    for rung in LADDER:
        yield rung.number, rung.check, f"`{rung.refusal}`", _answer(rung), _yes(rung)


def _answer(rung: Rung) -> str:
    return rung.answer.value.lower().replace("_", " ")


def _yes(rung: Rung) -> str:
    return "yes" if rung.security else ""


def _in_hexadecimal(part: Any) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(part, dict):
        part = {key: _in_hexadecimal(value) for key, value in part.items()}
        if part.pop("contentEncoding", None) is not None:
            lengths = {
                bound: HEXADECIMAL[part[bound]]
                for bound in ("minLength", "maxLength")
                if bound in part
            }
            part |= lengths | {"pattern": "^([0-9a-f]{2})*$"}
        return part
    if isinstance(part, list):
        return [_in_hexadecimal(each) for each in part]
    return part


def _text(name: str) -> str:
    return (TEXT / f"{name}.md").read_text().strip()


PAGES: Final = {
    "control-plane-protocol.md": partial(protocol),
    "reference/schema/messages.json": partial(schema),
}
