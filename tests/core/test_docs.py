"""The generated pages say what the code says."""

import pytest

import generate_docs
from jumping_vpn.core.events import DATA_OF, EventType
from jumping_vpn.core.policy.limits import FIELDS, Policy
from jumping_vpn.core.session.reasons import Reason


def test_no_generated_page_is_stale():
    assert generate_docs.stale() == [], "run `python tools/generate_docs.py`"


def test_a_stale_page_is_named_and_fails_the_check(monkeypatch, capsys):
    monkeypatch.setattr(generate_docs, "pages", lambda: {"absent.md": lambda: "text"})

    assert generate_docs.main(["--check"]) == 1
    assert "docs/absent.md" in capsys.readouterr().out


def test_every_policy_field_is_documented():
    page = generate_docs.pages()["reference/policy.md"]()

    assert [each.name for each in FIELDS] == list(Policy.__dataclass_fields__)
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
