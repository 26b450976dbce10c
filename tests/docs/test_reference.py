"""The generated pages say what the code says."""

import re
from pathlib import Path

import msgspec
import pytest

import generate_docs
from docs_pages.command_line import settings, walk
from jumping_vpn.cli.main import jvpn
from jumping_vpn.client.config import ClientConfig
from jumping_vpn.core.events import DATA_OF, EventType
from jumping_vpn.core.policy.limits import FIELDS, Policy
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire.messages import MESSAGE_TYPES
from jumping_vpn.gateway.config import ClientEntry, GatewayConfig

PACKETS = re.findall(
    r"^    (\w+) = 0x(\w\w),$",
    (Path(__file__).parents[2] / "crates/jump-proto/src/packet/mod.rs").read_text(),
    re.MULTILINE,
)


def test_no_generated_page_is_stale():
    assert generate_docs.stale() == [], "run `python tools/generate_docs.py`"


def test_a_stale_page_is_named_and_fails_the_check(monkeypatch, capsys):
    monkeypatch.setattr(generate_docs, "pages", lambda: {"absent.md": lambda: "text"})

    assert generate_docs.main(["--check"]) == 1
    assert "docs/absent.md" in capsys.readouterr().out


def test_every_policy_field_is_documented():
    page = generate_docs.pages()["reference/policy.md"]()

    assert [each.name for each in FIELDS] == list(Policy.__struct_fields__)
    assert all(f"| `{each.name}` |" in page for each in FIELDS)
    assert all(each.meaning.endswith(".") for each in FIELDS)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_documented(reason: Reason):
    assert f"| `{reason}` |" in generate_docs.pages()["reference/reasons.md"]()
    assert reason.meaning.endswith(".")


@pytest.mark.parametrize("event_type", EventType)
def test_every_event_is_documented_and_has_a_schema(event_type: EventType):
    pages = generate_docs.pages()

    assert f"| `{event_type}` |" in pages["reference/events.md"]()
    assert f"### {DATA_OF[event_type].__name__}" in pages["reference/events.md"]()
    assert f'"{event_type}"' in pages[f"reference/schema/{event_type.lower()}.json"]()


@pytest.mark.parametrize("name", MESSAGE_TYPES)
def test_every_message_and_its_fields_are_documented_and_have_a_schema(name: str):
    pages = generate_docs.pages()
    text = pages["control-plane-protocol.md"]()

    section = text.split(f"\n### {name}\n")[1].split("\n### ")[0]

    fields = {each.name for each in msgspec.structs.fields(MESSAGE_TYPES[name])}
    assert {field for field in fields if f"| `{field}` |" not in section} == set()
    assert f'"{name}"' in pages["reference/schema/messages.json"]()


@pytest.mark.parametrize(("name", "first_byte"), PACKETS)
def test_every_packet_is_documented_with_its_first_byte(name: str, first_byte: str):
    wire_name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()

    page = generate_docs.pages()["control-plane-protocol.md"]()

    assert f"| {wire_name} | `{first_byte.upper()}`" in page


def test_every_command_and_option_is_documented():
    page = generate_docs.pages()["reference/commands.md"]()

    for path, command in walk(jvpn, "jvpn"):
        assert f"\n## {path}\n" in page
        assert all(
            option in page for each in command.params for option in each.opts if "-" in option
        )


@pytest.mark.parametrize("shape", [GatewayConfig, ClientEntry, ClientConfig])
def test_every_setting_is_documented_with_a_sentence(shape: type[msgspec.Struct]):
    page = generate_docs.pages()["reference/configuration.md"]()

    for name, _, meaning in settings(shape):
        assert f"| {name} |" in page
        assert meaning.endswith(".")
