"""The audit: whether a log is whole, and whether it tells a story that the contract allows.

Every line is checked four times: it is an event of its type, it is the next link of the chain, its
hash fits its bytes, and it is a legal next step of its session. Files are given in the order in
which they were written. A chain by itself cannot show that its end was cut off: for that, give the
head that was noted elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from jumping_vpn.core.events import MOVE_TYPES, Event, decode_event
from jumping_vpn.core.replay import replay
from jumping_vpn.core.session.model import Session, State
from jumping_vpn.observe.chain import START, Head, hash_of
from jumping_vpn.observe.jsonl import LINE_MAX

FINDINGS_MAX: Final = 100
"""Findings that a report keeps; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, and the line that shows it; `line` counts from 1."""

    path: str
    line: int
    sentence: str

    def __str__(self) -> str:
        """Return the finding as a person would want it."""
        return f"{self.path}, line {self.line}: {self.sentence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an audit found: clean means that there is no violation at all."""

    events: int
    moves: int
    sessions: int
    live: int
    violations: int
    findings: tuple[Finding, ...]
    head: Head

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return self.violations == 0

    @property
    def first(self) -> Finding | None:
        """The first thing that is wrong."""
        return self.findings[0] if self.findings else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What is known about a log beforehand: where it starts, and (if noted elsewhere) ends."""

    start: Head | None = START
    """None: anywhere, for a part of a log whose earlier files are elsewhere."""
    end: Head | None = None


WHOLE: Final = Extent()
PART: Final = Extent(start=None)


def verify(*paths: Path, extent: Extent = WHOLE) -> Report:
    """Return what the log in these files shows; OSError if one cannot be read."""
    audit = Audit(extent)
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(_lines(file), start=1):
                audit.read(line, where=(str(path), number))
    return audit.report()


class Audit:
    """Reads a log line by line; memory grows with the sessions in it, not with its length."""

    def __init__(self, extent: Extent = WHOLE) -> None:
        self._extent = extent
        self._head = extent.start
        self._node: str | None = None
        self._sessions: dict[str, Session | None] = {}
        self._events = 0
        self._moves = 0
        self._violations = 0
        self._findings: list[Finding] = []
        self._where = ("", 0)

    def read(self, line: bytes, *, where: tuple[str, int]) -> None:
        """Check the next line, without its line end unless that is missing."""
        self._where = where
        if not line.endswith(b"\n"):
            self._find("the line is cut off")
            return
        line = line[:-1]
        try:
            event = decode_event(line)
        except (msgspec.DecodeError, ValueError) as error:
            self._find(f"this is no event: {error}")
            return
        self._events += 1
        self._check_chain(event, line)
        self._check_node(event)
        self._check_story(event)

    def report(self) -> Report:
        """Return what was found."""
        end = self._extent.end
        head = self._head or START
        if end is not None and head != end:
            self._find(f"the log ends at number {head.seq}, it is known to reach {end.seq}")
        known = self._sessions.values()
        live = sum(each is None or each.state is not State.TERMINATED for each in known)
        return Report(
            events=self._events,
            moves=self._moves,
            sessions=len(self._sessions),
            live=live,
            violations=self._violations,
            findings=tuple(self._findings),
            head=head,
        )

    def _check_chain(self, event: Event, line: bytes) -> None:
        if self._head is None:
            self._head = Head(event.node_seq - 1, event.prev_hash)
        seq, before = self._head.seq, self._head.hash
        if event.node_seq != seq + 1:
            self._find(f"number {event.node_seq} follows number {seq}{_gap(seq, event.node_seq)}")
        elif event.prev_hash != before:
            self._find("the line before it is not the one that it was chained to")
        digest = hash_of(line)
        if digest is None:
            self._find("the hash is not at the end of the line")
        elif digest != event.hash:
            self._find("its content was changed: its hash does not fit")
        # What follows is measured against the log as it is, so that one fault is found once.
        self._head = Head(event.node_seq, event.hash)

    def _check_node(self, event: Event) -> None:
        if self._node is None:
            self._node = event.node_id
        elif event.node_id != self._node:
            self._find(f"node {event.node_id} writes into the log of node {self._node}")

    def _check_story(self, event: Event) -> None:
        if event.session_id is None:
            if event.event_type in MOVE_TYPES:
                self._find(f"{event.event_type} names no session")
            return
        self._moves += event.event_type in MOVE_TYPES
        replayed = replay(self._sessions.get(event.session_id), event)
        for sentence in replayed.broken:
            self._find(f"session {event.session_id}: {sentence}")
        self._sessions[event.session_id] = replayed.session

    def _find(self, sentence: str) -> None:
        self._violations += 1
        if len(self._findings) < FINDINGS_MAX:
            path, line = self._where
            self._findings.append(Finding(path=path, line=line, sentence=sentence))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Read line by line; what is longer than any event comes in pieces that are none."""
    return iter(lambda: file.readline(LINE_MAX), b"")


def _gap(before: int, after: int) -> str:
    missing = after - before - 1
    if missing <= 0:
        return ": lines were added or moved"
    return ": one line is missing" if missing == 1 else f": {missing} lines are missing"
