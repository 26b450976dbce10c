"""Conversations: text files of what one client and one gateway make of faults.

A block is one or more lines, a line `----`, and what both sides wrote down meanwhile: `g` marks the
gateway's log, `c` the client's. Each command is a method of `Conversation` whose docstring explains
it. Moves read alike on both sides; of the observations only those that tell of the jump are shown.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from jumping_vpn.core import facts as f
from jumping_vpn.core.commands import GoDown, OperatorJump, Stop
from jumping_vpn.core.event_data import AttemptData, MoveData, RejectData
from jumping_vpn.core.events import Event
from jumping_vpn.core.policy.limits import Policy
from support.roles import NUMBER, WALL, Link, World

CONVERSATIONS: Final = Path(__file__).parents[1] / "conversations"
RULE: Final = "----"
HIDDEN: Final = {"CANDIDATE_UP", "CANDIDATE_DOWN"}

Arguments = dict[str, str]


def conversations() -> list[Path]:
    """Return every conversation file, in order."""
    return sorted(CONVERSATIONS.glob("*.txt"))


def render_conversation(text: str) -> str:
    """Return a conversation with what the roles print today in place of what the file says."""
    conversation = Conversation()
    blocks = [_rendered(block, conversation) for block in text.strip().split("\n\n")]
    return "\n\n".join(blocks) + "\n"


def commands_of(block: str) -> list[str]:
    """Return the commands of a block, without its comments and what was printed."""
    lines = block.partition(f"\n{RULE}")[0].splitlines()
    return [line for line in lines if not line.startswith("#")]


def _rendered(block: str, conversation: "Conversation") -> str:
    given, commands = block.partition(f"\n{RULE}")[0], commands_of(block)
    if not commands:
        return given
    return "\n".join([given, RULE, *conversation.tell(commands)])


class Conversation:
    """Both roles, two paths, and the faults that a line names."""

    def __init__(self) -> None:
        self.world = World()
        self._old = self.world.state
        self._seen = {"g": 0, "c": 0}
        self._notes: list[str] = []

    def tell(self, lines: list[str]) -> list[str]:
        """Carry out a block's lines and return what was written down, in order of time."""
        for line in lines:
            word, arguments = _parsed(line)
            COMMANDS[word](self, arguments)
        told = [*self._new("g", self.world.events), *self._new("c", self.world.client_events)]
        lines = [line for _, line in sorted(told, key=lambda each: each[0])]
        notes, self._notes = self._notes, []
        return [*lines, *notes] or ["nothing"]

    def set_up(self, arguments: Arguments) -> None:
        """`world skew=ms policy=field:value`: the client's clock, the operator's policy."""
        field, _, value = arguments.get("policy", "").partition(":")
        policy = Policy.from_mapping({field: int(value)}) if field else None
        skew = int(arguments.get("skew", "0"))
        self.world = World(policy=policy, clock_error_ms=skew)

    def appear(self, arguments: Arguments) -> None:
        """`appear path=name delay=ms`: an interface with a way to the gateway comes up."""
        delay = int(arguments.get("delay", "10"))
        self.world.links[arguments["path"]] = Link(delay=delay)
        self.world.appear(arguments["path"])

    def vanish(self, arguments: Arguments) -> None:
        """`vanish path=name`: an interface goes away, and the client is told."""
        self.world.vanish(arguments["path"])

    def silence(self, arguments: Arguments) -> None:
        """`silence path=name`: the active path dies without a word; the client notices."""
        self.world.silence(arguments["path"])

    def late(self, arguments: Arguments) -> None:
        """`late ms=n side=gateway|client`: a side has no proof of delivery for so long."""
        client = arguments.get("side") == "client"
        sample = f.PathSampled(
            number=0 if client else NUMBER,
            epoch=self.world.client_epoch,
            srtt_us=20_000,
            base_rtt_us=20_000,
            jitter_us=0,
            base_jitter_us=0,
            loss_in=0.0,
            loss_out=0.0,
            late_us=int(arguments["ms"]) * 1000,
        )
        (self.world.tell if client else self.world.hear)(sample)

    def lose(self, arguments: Arguments) -> None:
        """`lose KIND=count ...`: so many of the next packets of a kind never arrive."""
        left = {kind: int(count) for kind, count in arguments.items()}

        def drop(_: str, kind: str) -> bool:
            left[kind] = left.get(kind, 0) - 1
            return left[kind] >= 0

        self.world.drop = drop

    def double(self, arguments: Arguments) -> None:
        """`double kind=KIND`: from here on each packet of a kind arrives twice."""
        deliver = self.world.up

        def twice(interface: str, kind: str, arrive: Callable[[], None]) -> None:
            deliver(interface, kind, arrive)
            if kind == arguments["kind"]:
                deliver(interface, kind, arrive)

        self.world.up = twice  # type: ignore[method-assign]

    def restart_gateway(self, _: Arguments) -> None:
        """`restart-gateway`: the gateway's process is another; the client hears of it."""
        self.world.start_gateway()
        if self.world.client_epoch:
            self.world.tell(f.ResetHinted(epoch=self.world.client_epoch))

    def copy_state(self, _: Arguments) -> None:
        """`copy-state`: somebody keeps a copy of the client's state file."""
        self._old = self.world.state

    def stop_client(self, _: Arguments) -> None:
        """`stop-client`: the client's process ends in good order and keeps its session."""
        self.world.tell(Stop())

    def start_client(self, arguments: Arguments) -> None:
        """`start-client from=state|copy`: another process goes on from what was kept."""
        state = self._old if arguments["from"] == "copy" else self.world.state
        self.world.start_client(state)

    def jump(self, arguments: Arguments) -> None:
        """`jump path=name`: a person orders a jump."""
        self.world.tell(OperatorJump(transport=arguments.get("path")))

    def go_down(self, _: Arguments) -> None:
        """`down`: a person ends the session."""
        self.world.tell(GoDown())

    def run(self, arguments: Arguments) -> None:
        """`run until=ms`: time goes by."""
        self.world.run(int(arguments["until"]))

    def status(self, _: Arguments) -> None:
        """`status`: how the session stands at the client, printed beside what was acknowledged."""
        client = self.world.client
        told = "-" if client.view is None else client.view.session.state
        late = client.late_ms(now=self.world.now)
        self._notes.append(f"c is {client.standing}, told {told}, late for {late} ms")

    def _new(self, side: str, events: list[Event]) -> list[tuple[int, str]]:
        zero = WALL + (self.world.clock_error_ms if side == "c" else 0)
        fresh, self._seen[side] = events[self._seen[side] :], len(events)
        shown = [event for event in fresh if event.event_type not in HIDDEN]
        return [
            (event.ts_ms - zero, f"t={event.ts_ms - zero} {side} {_told(event)}") for event in shown
        ]


def _told(event: Event) -> str:
    version = "-" if event.state_version is None else f"v{event.state_version}"
    match event.data:
        case MoveData() as move:
            where = "-" if move.transport_after is None else move.transport_after.split("/")[1]
            what = f"{move.state_before} -> {move.state_after}  path={where}"
        case AttemptData() as attempt:
            paths = ",".join(each.split("/")[1] for each in attempt.chosen)
            what = f"{event.event_type} {attempt.attempt}  path={paths}"
        case RejectData() as reject:
            what = f"{event.event_type} {reject.attempt}"
        case _:
            what = event.event_type.value
    return f"{version} {what}  {event.reason_code}"


COMMANDS: Final[dict[str, Callable[[Conversation, Arguments], None]]] = {
    "world": Conversation.set_up,
    "appear": Conversation.appear,
    "vanish": Conversation.vanish,
    "silence": Conversation.silence,
    "late": Conversation.late,
    "lose": Conversation.lose,
    "double": Conversation.double,
    "restart-gateway": Conversation.restart_gateway,
    "copy-state": Conversation.copy_state,
    "stop-client": Conversation.stop_client,
    "start-client": Conversation.start_client,
    "jump": Conversation.jump,
    "down": Conversation.go_down,
    "run": Conversation.run,
    "status": Conversation.status,
}


def _parsed(line: str) -> tuple[str, Arguments]:
    word, *rest = line.split()
    return word, dict(part.split("=", 1) for part in rest)
