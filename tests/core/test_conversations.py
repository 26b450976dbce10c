"""Every conversation says what both roles do today, and both logs replay without a fault."""

from pathlib import Path

import pytest

from support.conversations import Conversation, commands_of, conversations, render_conversation
from support.roles import faults


@pytest.mark.parametrize("path", conversations(), ids=lambda path: path.stem)
def test_the_roles_do_what_the_conversation_says(path: Path):
    told = path.read_text()

    assert render_conversation(told) == told, "run `make bless` and look at the difference"


@pytest.mark.parametrize("path", conversations(), ids=lambda path: path.stem)
def test_both_logs_of_a_conversation_replay_without_a_fault(path: Path):
    conversation = Conversation()

    for block in path.read_text().strip().split("\n\n"):
        conversation.tell(commands_of(block))

    assert faults(conversation.world.events) == []
    assert faults(conversation.world.client_events) == []


def test_there_are_conversations_and_each_is_named_as_a_sentence():
    assert len(conversations()) >= 8
    assert all(len(path.stem.split("_")) >= 4 for path in conversations())
