"""Many clients in one process: real data planes under the least control that can jump.

Each client shakes hands once and then asks for bindings, one attempt at a time. One epoll waits for
all of them, so that the swarm costs less than the gateway that it measures.
"""

import base64
import os
import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jumping_vpn._native import DataPlane
from jumping_vpn.core.facts import Fact, HandshakeDone, MessageReceived, ResponseOpened
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import decode, encode
from jumping_vpn.dataplane.facts import facts_of
from jumping_vpn.dataplane.keys import load_client_keys, write_client_config
from jumping_vpn.dataplane.plane import limits_of

PATH: Final = 1
SELF: Final = 0
DRAINED_MAX: Final = 64
GREETING_MAX: Final = 16
INTRODUCTION_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 60


@dataclass(slots=True, kw_only=True)
class Member:
    """One client: what it knows of its session, and when it asked for what it waits for."""

    plane: DataPlane
    candidate: m.Candidate
    policy: m.PolicyTerms
    session_id: bytes = b""
    version: int = 0
    epoch: int = 0
    attempt: int = 0
    lookup_ids: deque[bytes] = field(default_factory=deque)
    asked_at: float = 0.0

    @property
    def is_granted(self) -> bool:
        """Whether the session exists."""
        return self.version > 0

    def introduce(self, *, now: float) -> None:
        """Prove the handshake once it is answered, and again until the session is granted."""
        if self.session_id and now > self.asked_at + INTRODUCTION_SECONDS:
            self.asked_at = now
            payload = m.HandshakeInit(
                client_version="swarm", candidate=self.candidate, policy=self.policy
            )
            self.plane.send_message(SELF, self._message(payload, sequence=1))

    def take_grant(self, message: m.Envelope) -> None:
        """Take the session that HANDSHAKE_ACK grants."""
        if not isinstance(message.payload, m.HandshakeAck) or self.is_granted:
            return
        self.plane.set_limits(SELF, limits_of(Policy.from_mapping(message.payload.policy)))
        self.plane.seal_root()
        self.version, self.epoch = message.state_version, message.binding_epoch
        self.lookup_ids.extend(message.payload.lookup_ids)

    def ask(self, trigger: m.Trigger, *, now: float) -> None:
        """Ask for another binding on the same path; the data plane repeats it until answered."""
        self.attempt += 1
        self.asked_at = now
        lookup_id = self.lookup_ids[0] if len(self.lookup_ids) == 1 else self.lookup_ids.popleft()
        payload = m.ReattachRequest(
            trigger=trigger,
            cause=Reason.HEARTBEAT_TIMEOUT.value if trigger is m.Trigger.DEATH else None,
            candidate=self.candidate,
            unused_lookup_ids=len(self.lookup_ids),
            policy_version=1,
        )
        message = self._message(payload, sequence=self.attempt)
        self.plane.request(self.attempt, [(PATH, lookup_id, message)], early=False)

    def take_answer(self, fact: ResponseOpened) -> str | None:
        """Take the binding that an answer grants, or return the reason of its refusal."""
        message = decode(fact.message)
        match message.payload:
            case m.ReattachAck() as ack:
                self.plane.adopt(fact.token, message.binding_epoch, ack.owner)
                self.plane.activate(fact.token)
                self.version, self.epoch = message.state_version, message.binding_epoch
                self.lookup_ids.extend(ack.lookup_ids)
                return None
            case m.ReattachReject() as reject:
                self.plane.withdraw()
                return reject.reason
        return "UNEXPECTED"

    def _message(self, payload: m.Payload, *, sequence: int) -> bytes:
        return encode(
            m.Envelope(
                session_id=self.session_id,
                state_version=self.version,
                binding_epoch=self.epoch,
                ts_ms=time.time_ns() // 1_000_000,
                sequence=sequence,
                payload=payload,
            )
        )


@dataclass(slots=True, kw_only=True)
class Answered:
    """What became of one attempt; `reason` is empty where it was accepted."""

    member: Member
    reason: str
    waited_s: float


class Swarm:
    """Members by the descriptor that rings when one of them has facts."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.members = tuple(members)
        self._by_descriptor = {each.plane.event_fd(): each for each in self.members}
        self._epoll = select.epoll()
        for descriptor in self._by_descriptor:
            self._epoll.register(descriptor, select.EPOLLIN)

    def shake_hands(self, *, at_once: int = GREETING_MAX) -> list[float]:
        """Give every member a session, so many at a time; return how long each has waited."""
        waiting = deque(self.members)
        greeting: dict[int, Member] = {}
        began: dict[int, float] = {}
        waited: list[float] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while waiting or greeting:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(waiting) + len(greeting)} clients got no session")
            while waiting and len(greeting) < at_once:
                member = waiting.popleft()
                greeting[id(member)] = member
                began[id(member)] = time.monotonic()
                member.plane.start_handshake(PATH)
            for member, fact in self._facts(INTRODUCTION_SECONDS):
                if isinstance(fact, HandshakeDone):
                    member.session_id = fact.session_id
                elif isinstance(fact, MessageReceived):
                    member.take_grant(decode(fact.message))
                    if member.is_granted and id(member) in greeting:
                        del greeting[id(member)]
                        waited.append(time.monotonic() - began[id(member)])
            for member in greeting.values():
                member.introduce(now=time.monotonic())
        return waited

    def answers(self, timeout_s: float) -> Iterator[Answered]:
        """Wait for answers to attempts and take them; nothing else that comes matters here."""
        for member, fact in self._facts(timeout_s):
            if isinstance(fact, ResponseOpened) and fact.attempt == member.attempt:
                reason = member.take_answer(fact)
                waited_s = time.monotonic() - member.asked_at
                yield Answered(member=member, reason=reason or "", waited_s=waited_s)

    def close(self) -> None:
        """End every member."""
        self._epoll.close()
        for member in self.members:
            member.plane.close()

    def _facts(self, timeout_s: float) -> Iterator[tuple[Member, Fact]]:
        for descriptor, _ in self._epoll.poll(timeout_s):
            member = self._by_descriptor[descriptor]
            for fact in facts_of(member.plane.drain(DRAINED_MAX)):
                yield member, fact


def enrol(directory: Path, count: int) -> tuple[Path, ...]:
    """Let `count` clients into the gateway of this directory; return their configurations."""
    files = tuple(directory.parent / "swarm" / f"{number}.toml" for number in range(count))
    files[0].parent.mkdir()
    for file in files:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        public = write_client_config(descriptor, 'private_key = "@PRIVATE_KEY@"\n')
        os.close(descriptor)
        entry = directory / "clients" / f"swarm{file.stem}.toml"
        entry.write_text(f'public_key = "{base64.b64encode(public).decode()}"\nallowed = true\n')
        entry.chmod(0o600)
    return files


def gather(
    files: Iterable[Path],
    *,
    gateway_public: bytes,
    endpoint_of: Callable[[int], tuple[str, int]],
    policy: m.PolicyTerms | None = None,
) -> Swarm:
    """Start a member for each configuration, each with one path to its endpoint.

    Each asks for the fields of `policy`.
    """
    return Swarm(
        _member(file, gateway_public, *endpoint_of(number), policy or {})
        for number, file in enumerate(files)
    )


def _member(
    file: Path, gateway_public: bytes, host: str, port: int, policy: m.PolicyTerms
) -> Member:
    keys, _ = load_client_keys(file)
    plane = DataPlane.client(keys, gateway_public=gateway_public)
    plane.start()
    plane.open_path(PATH, "", host, port, 0)
    candidate = m.Candidate(id=PATH, adapter="udp", interface="lo", endpoint=f"{host}:{port}")
    return Member(plane=plane, candidate=candidate, policy=policy)
