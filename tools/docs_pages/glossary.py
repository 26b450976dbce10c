"""The glossary: one word per concept, from the docstrings of the classes that bear it."""

from typing import Final

from docs_pages.markdown import generated_from, page, sentence, table
from jumping_vpn.core.events import Event, Severity
from jumping_vpn.core.policy.choice import Candidate, Decision, Exclusion, Verdict
from jumping_vpn.core.policy.deadlines import Deadlines
from jumping_vpn.core.policy.limits import Limits, Policy
from jumping_vpn.core.policy.switches import Denied
from jumping_vpn.core.record import Record, Root
from jumping_vpn.core.session.inputs import BindingLost
from jumping_vpn.core.session.machine import Moved, Refused
from jumping_vpn.core.session.model import Binding, Session, Shape, State, Transport
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import Effect, Row

WORDS: Final = {
    "binding": Binding,
    "candidate": Candidate,
    "deadlines": Deadlines,
    "decision": Decision,
    "denial": Denied,
    "effect": Effect,
    "event": Event,
    "exclusion": Exclusion,
    "limits": Limits,
    "move": Moved,
    "policy": Policy,
    "reason": Reason,
    "record": Record,
    "refusal": Refused,
    "root": Root,
    "row": Row,
    "session": Session,
    "severity": Severity,
    "shape": Shape,
    "state": State,
    "transport": Transport,
    "verdict": Verdict,
}
SPOKEN: Final = {
    "attempt": "The client's number of one wish to reattach; accepted once.",
    "epoch": "The number of a binding within its session, or of an ownership; never used twice.",
    "input": "A verdict that was reached before the table is asked; named for what happened, as "
    f"`{BindingLost.__name__}`.",
    "jump": "The explicit move of a session from one binding to the next.",
    "observation": "An input that names the binding it was made on; or an event that is no move.",
    "version": "The number of moves that a session has made.",
}


def glossary() -> str:
    """Return the page."""
    meanings = {word: sentence(named.__doc__) for word, named in WORDS.items()} | SPOKEN
    return page(
        "# Glossary",
        generated_from("the docstrings of jumping_vpn/core"),
        "One word per concept, in code, wire, documentation and metrics.",
        table(("word", "meaning"), sorted(meanings.items())),
    )


PAGES: Final = {"reference/glossary.md": glossary}
