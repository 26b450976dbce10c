"""Transcripts: text files of what happens to one session, and of what the core makes of it.

A block is one or more lines of input, a line `----`, and what was printed. Inputs of one block that
fall due at the same instant are applied in their order of precedence. Besides the machine's inputs
there are a few commands; each is a method of `Story` whose docstring explains it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from jumping_vpn.core.events import Event, Origin, Stamp, Subject, event_of_move, policy_mark
from jumping_vpn.core.facts import PathSampled
from jumping_vpn.core.ids import BindingEpoch, Millis, NodeId, OwnershipEpoch, SessionId
from jumping_vpn.core.policy.deadlines import (
    Deadlines,
    after_confirmation,
    after_move,
    confirm_wait,
    next_due,
    wake_at,
)
from jumping_vpn.core.policy.judgement import Quality, judge, settle
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.policy.switches import count_switch, deny_switch
from jumping_vpn.core.session import inputs as i
from jumping_vpn.core.session.machine import Moved, advance
from jumping_vpn.core.session.model import Binding, Transport, begin, confirmed
from jumping_vpn.core.session.reasons import Reason

SCENARIOS: Final = Path(__file__).parents[1] / "scenarios"
RULE: Final = "----"
INPUT_NAMED: Final = {each.__name__: each for each in i.INPUTS}
ORIGIN: Final = Origin(node_id="1", reveal_addresses=True)

Arguments = dict[str, str]


def scenarios() -> list[Path]:
    """Return every scenario file, in order."""
    return sorted(SCENARIOS.glob("*.txt"))


def render(text: str) -> str:
    """Return a transcript with what the core prints today in place of what the file says."""
    story = Story()
    blocks = [_rendered(block, story) for block in text.strip().split("\n\n")]
    return "\n\n".join(blocks) + "\n"


def _rendered(block: str, story: "Story") -> str:
    given = list(_inputs_of(block))
    commands = [line for line in given if not line.startswith("#")]
    if not commands:
        return "\n".join(given)
    return "\n".join([*given, RULE, *story.tell(commands)])


def _inputs_of(block: str) -> Iterator[str]:
    for line in block.splitlines():
        if line == RULE:
            return
        yield line


class Story:
    """One session with its policy, deadlines and budget, told a line at a time."""

    def __init__(self) -> None:
        self.policy = Policy()
        self.session = begin(
            SessionId(bytes(range(16))),
            owner=NodeId(1),
            ownership_epoch=OwnershipEpoch(1),
            now=Millis(0),
        )
        self.deadlines = Deadlines()
        self.jumps: tuple[Millis, ...] = ()
        self.quality: Quality | None = None
        self.timeouts = 0
        self.now = Millis(0)
        self.events: list[Event] = []
        self._names: dict[int, str] = {}
        self._printed: list[str] = []

    def tell(self, lines: list[str]) -> list[str]:
        """Apply a block's lines and return what they print."""
        self._printed = []
        inputs: list[tuple[i.Input, Millis]] = []
        for line in lines:
            word, arguments = _parsed(line)
            now = Millis(int(arguments.pop("at", str(self.now))))
            if word in INPUT_NAMED:
                inputs.append((self._input(word, arguments, now), now))
            else:
                COMMANDS[word](self, arguments, now)
            self.now = now
        for given in i.in_precedence(each for each, _ in inputs):
            self._apply(given, now=inputs[0][1])
        return self._printed

    def set_policy(self, arguments: Arguments, _: Millis) -> None:
        """`policy field=value ...`: the session is born with this policy."""
        self.policy = Policy.from_mapping({name: int(value) for name, value in arguments.items()})
        self._print("policy", *(f"{name}={value}" for name, value in arguments.items()))

    def set_version(self, arguments: Arguments, _: Millis) -> None:
        """`version is=N`: the session has made that many moves."""
        self.session = replace(self.session, version=int(arguments["is"]))
        self._print(f"version {self.session.version}")

    def confirm(self, _: Arguments, __: Millis) -> None:
        """`confirm`: the first packet under the binding's keys arrives; a fact, not a move."""
        self.session = confirmed(self.session)
        self.deadlines = after_confirmation(self.deadlines)
        self.timeouts = 0
        self._print(f"confirmed, still v{self.session.version}")

    def wait(self, _: Arguments, now: Millis) -> None:
        """`wait at=T`: nothing arrives until T; what falls due is applied at its instant."""
        before = len(self._printed)
        while (due_at := self._due_at()) is not None and due_at <= now:
            given = next_due(self.session, self.deadlines, now=due_at) or self._settled(due_at)
            if given is None:
                break
            self._apply(given, now=due_at, prefix=f"at={due_at} ")
        if len(self._printed) == before:
            self._print("nothing")

    def sample(self, arguments: Arguments, now: Millis) -> None:
        """`sample rtt= base= jitter= base_jitter= late= (ms) loss= (share) path=`: the figures."""
        figures = {name: float(arguments.get(name, default)) for name, default in SAMPLE.items()}
        sample = PathSampled(
            number=1,
            epoch=self._epoch(arguments),
            srtt_us=int(figures["rtt"] * 1000),
            base_rtt_us=int(figures["base"] * 1000),
            jitter_us=int(figures["jitter"] * 1000),
            base_jitter_us=int(figures["base_jitter"] * 1000),
            loss_in=figures["loss"],
            loss_out=0.0,
            late_us=int(figures["late"] * 1000),
        )
        judgement = judge(sample, self.session, self.policy, self.quality, now=now)
        self.quality = judgement.quality
        if judgement.input is None:
            self._print("no verdict")
        else:
            self._apply(judgement.input, now=now)

    def switch(self, arguments: Arguments, now: Millis) -> None:
        """`switch path=name reason=...`: a verified request, asked of budget and cooldown first."""
        binding = self.session.binding
        supersedes = binding is not None and not binding.confirmed
        reason = Reason(arguments.get("reason", Reason.REATTACH_SUCCESS))
        denied = deny_switch(self.jumps, self.policy, reason=reason, supersedes=supersedes, now=now)
        if denied is not None:
            self._print(f"denied  {denied.reason}  retry_after={denied.retry_after_ms}")
            return
        self.jumps = count_switch(self.jumps, supersedes=supersedes, now=now)
        self._apply(self._input("ReattachVerified", arguments, now), now=now)

    def restart(self, arguments: Arguments, now: Millis) -> None:
        """`restart away=ms`: the process ends; another continues the record after so long."""
        left = self.deadlines.remaining(now=now)
        self.deadlines = left.resume(now=now, away_ms=int(arguments["away"]))
        self.quality = None
        if self.session.binding is None:
            self._print(f"still {self.session.state}")
            return
        lost = i.BindingLost(epoch=self.session.epoch, reason=Reason.GATEWAY_RESTARTED)
        self._apply(lost, now=now)

    def _settled(self, now: Millis) -> i.Input | None:
        return settle(self.session, self.policy, self.quality, now=now).input

    def _due_at(self) -> Millis | None:
        judged = settle(self.session, self.policy, self.quality, now=Millis(0))
        times = (wake_at(self.session, self.deadlines), judged.wake_at)
        return min((max(at, self.now) for at in times if at is not None), default=None)

    def _input(self, word: str, arguments: Arguments, now: Millis) -> i.Input:
        """Make an input of its name; what its class does not have is not read."""
        made = INPUT_NAMED[word]
        values: dict[str, Any] = {}
        for name in made.__struct_fields__:
            match name:
                case "binding":
                    values[name] = self._binding(arguments, now)
                case "epoch":
                    values[name] = self._epoch(arguments)
                case "reason":
                    values[name] = Reason(arguments.get("reason", DEFAULT_REASONS.get(word)))
                case _:
                    values[name] = int(arguments[name])
        return made(**values)

    def _binding(self, arguments: Arguments, now: Millis) -> Binding:
        epoch = BindingEpoch(self.session.epoch + 1)
        self._names[epoch] = arguments["path"]
        transport = Transport(
            id=epoch, adapter="udp", interface=arguments["path"], endpoint="203.0.113.1:4789"
        )
        return Binding(
            epoch=epoch,
            transport=transport,
            confirmed=arguments.get("confirmed", "yes") == "yes",
            since=now,
        )

    def _epoch(self, arguments: Arguments) -> BindingEpoch:
        """Return the newest binding on the named path; without a name, the session's newest."""
        path = arguments.get("path")
        epochs = [epoch for epoch, name in self._names.items() if path in {None, name}]
        return BindingEpoch(max(epochs, default=0))

    def _apply(self, given: i.Input, *, now: Millis, prefix: str = "") -> None:
        outcome = advance(self.session, given, now=now)
        if not isinstance(outcome, Moved):
            self._print(f"{prefix}refused in {outcome.session.state}  {outcome.reason}")
            return
        if outcome.reason is Reason.CONFIRM_TIMEOUT:
            self.timeouts += 1
        wait_ms = confirm_wait(srtt_us=0, timeouts=self.timeouts)
        self.deadlines = after_move(
            self.deadlines, outcome, self.policy, confirm_ms=wait_ms, now=now
        )
        self.session = outcome.after
        self.events.append(self._event(outcome, now))
        before, after = outcome.before, outcome.after
        path = "-" if after.binding is None else after.binding.transport.interface
        self._print(
            f"{prefix}v{after.version} {before.state} -> {after.state}",
            f"path={path}",
            outcome.reason,
        )

    def _event(self, moved: Moved, now: Millis) -> Event:
        subject = Subject(
            policy=policy_mark(1, self.policy),
            client_name="phone",
            client_public=bytes(32),
            addresses=("10.77.0.2",),
            predecessor=None,
            created_wall_ms=0,
        )
        return event_of_move(
            moved, subject, origin=ORIGIN, stamp=Stamp(wall_ms=now, entropy=bytes(8))
        )

    def _print(self, *parts: str) -> None:
        self._printed.append("  ".join(parts))


SAMPLE: Final = {
    "rtt": "20",
    "base": "20",
    "jitter": "1",
    "base_jitter": "1",
    "loss": "0",
    "late": "0",
}
DEFAULT_REASONS: Final = {
    "HandshakeRefused": "HANDSHAKE_FAIL",
    "QualityBreached": "HEARTBEAT_LATE",
    "BindingLost": "HEARTBEAT_TIMEOUT",
    "ReattachVerified": "REATTACH_SUCCESS",
    "OwnershipMoved": "OWNERSHIP_TRANSFERRED",
    "TerminateVerified": "CLIENT_REQUEST",
}
COMMANDS: Final[dict[str, Callable[[Story, Arguments, Millis], None]]] = {
    "policy": Story.set_policy,
    "version": Story.set_version,
    "confirm": Story.confirm,
    "wait": Story.wait,
    "sample": Story.sample,
    "switch": Story.switch,
    "restart": Story.restart,
}


def _parsed(line: str) -> tuple[str, Arguments]:
    word, *rest = line.split()
    return word, dict(part.split("=", 1) for part in rest)
