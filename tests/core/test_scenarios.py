"""Every transcript says what the core does today, and its events replay without a fault."""

from pathlib import Path

import pytest

from jumping_vpn.core.events import decode_event, encode_event
from jumping_vpn.core.replay import replay
from support.transcripts import Story, render, scenarios


@pytest.mark.parametrize("path", scenarios(), ids=lambda path: path.stem)
def test_the_core_does_what_the_transcript_says(path: Path):
    told = path.read_text()

    assert render(told) == told, "run `make bless` and look at the difference"


@pytest.mark.parametrize("path", scenarios(), ids=lambda path: path.stem)
def test_the_events_of_a_transcript_replay_without_a_fault(path: Path):
    story = Story()
    for block in path.read_text().strip().split("\n\n"):
        story.tell(inputs_of(block))

    session = None
    for event in events_as_logged(story):
        replayed = replay(session, event)
        session = replayed.session

        assert replayed.broken == ()


def test_there_are_scenarios_and_each_is_named_as_a_sentence():
    assert len(scenarios()) >= 12
    assert all(len(path.stem.split("_")) >= 4 for path in scenarios())


def inputs_of(block: str) -> list[str]:
    lines = block.partition("\n----")[0].splitlines()
    return [line for line in lines if not line.startswith("#")]


def events_as_logged(story: Story):
    """Return the events as the log's reader sees them; none where a version was set by hand."""
    versions = [event.state_version for event in story.events]
    if versions != list(range(1, len(versions) + 1)):
        return []
    return [decode_event(encode_event(event)) for event in story.events]
