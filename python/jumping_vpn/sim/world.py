"""Everything that can happen next: one client, its gateways, one store, and the network.

A condition of the world is a tuple of small numbers: which client, which gateways, which store,
which packets were ever sent, what the clock shows, and how much of each fault is left. The
processes behind the numbers are kept aside, each once. What an input makes of a process depends on
nothing else, so it is worked out once, by the real role, however many conditions it occurs in.

Time stands still while packets travel. It moves when something falls due, and what is due may be
late: whoever else has a deadline may meet it before or after.
"""

from collections.abc import Iterator
from typing import Final

from jumping_vpn.core import facts as f
from jumping_vpn.core.commands import OperatorJump
from jumping_vpn.core.ids import Millis, NodeId
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.sim import client as clients
from jumping_vpn.sim import gateway as gateways
from jumping_vpn.sim.client import SRTT_US
from jumping_vpn.sim.condition import (
    Action,
    Budget,
    Condition,
    Done,
    Down,
    Fault,
    Shelf,
    Told,
    bits,
    less,
    placed,
    shown,
)
from jumping_vpn.sim.gateway import NUMBER, Gateway
from jumping_vpn.sim.store import Ledger
from jumping_vpn.sim.wire import Packet, Request, Traffic

INTERFACES: Final = ("wlan0", "wwan0")
LATE_US: Final = 1_000_000
TOO_LATE: Final = "notices, too late, the silence of the binding before"
"""What a data plane had to tell of a binding that the session has left by now."""


class World:
    """Works out what can follow a condition of the world."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.clients = Shelf()
        self.gateways = Shelf()
        self.ledgers = Shelf()
        self.packets = Shelf()
        self._upward: list[bool] = []
        self._told: dict[tuple[int, Action, int], Told] = {}
        self._done: dict[tuple[int, int, Action, int, bool], Done] = {}

    def greeting(self, left: Budget) -> Condition:
        """Return the world in which the client and the first gateway have just shaken hands."""
        empty = Ledger()
        step = clients.started(None, INTERFACES, life=1, now=Millis(0))
        clients.tell(step, f.HandshakeDone(path=1, session_id=clients.SESSION))
        running = (self.gateways.put(self.started(NodeId(1), empty, now=0)),)
        number = self.clients.put(step.client)
        return Condition(number, running, self.ledgers.put(empty), self._put(step.sent), 0, left)

    def is_upward(self, packet: int) -> bool:
        """Say whether a packet is the client's."""
        return self._upward[packet]

    def following(self, state: Condition) -> Iterator[tuple[Action, Condition]]:
        """Return everything that may happen next, and what it leads to."""
        yield from self._of_client(state)
        for where in range(len(state.gateways)):
            yield from self._of_gateway(state, where)

    def show(self, action: Action) -> str:
        """Return a line that tells a person what happened."""
        who = "client" if action.where < 0 else f"gateway {action.where + 1}"
        if action.packet < 0:
            return f"{who} {action.what}"
        return f"{who} {action.what} {shown(self.packets.things[action.packet])}"

    def started(self, node: NodeId, ledger: Ledger, *, now: int, life: int = 1) -> Gateway:
        """Return a gateway's process that has just begun."""
        return gateways.started(node, ledger, life=life, now=Millis(now), policy=self.policy)

    # The client.

    def _of_client(self, state: Condition) -> Iterator[tuple[Action, Condition]]:
        client = self.clients.things[state.client]
        if isinstance(client, Down):
            if client.kept is not None:
                yield self._with_client(state, Action("starts"))
            return
        if client.finished:
            return
        for number in bits(state.sent):
            if not self._upward[number]:
                yield self._with_client(state, Action("hears", -1, number))
        if client.epoch:
            yield from self._faulty(state, Fault.SILENCE, Action("notices silence"))
            yield from self._faulty(state, Fault.SILENCE, Action(TOO_LATE))
            yield from self._faulty(state, Fault.JUMP, Action("is ordered to jump"))
        if client.wake_at is not None:
            yield from self._faulty(state, Fault.WAKE, Action("wakes"))
        if state.left[Fault.CLIENT_CRASH]:
            left = less(state.left, Fault.CLIENT_CRASH)
            down = self.clients.put(Down(client.kept, client.life))
            yield Action("crashes"), state._replace(client=down, left=left)

    def _faulty(
        self, state: Condition, fault: Fault, action: Action
    ) -> Iterator[tuple[Action, Condition]]:
        if not state.left[fault]:
            return
        spent = state._replace(left=less(state.left, fault))
        if fault is Fault.WAKE:
            spent = spent._replace(now=self._due(state, action.where))
        if action.where < 0:
            action, after = self._with_client(spent, action)
            yield action, after
            told = self._client(spent, action)
            if told.crashed is not None and spent.left[Fault.CLIENT_CRASH]:
                left = less(spent.left, Fault.CLIENT_CRASH)
                yield (
                    action._replace(what=f"{action.what}, crashes once it is durable"),
                    spent._replace(client=told.crashed, left=left),
                )
        else:
            yield from self._with_gateway(spent, action)

    def _with_client(self, state: Condition, action: Action) -> tuple[Action, Condition]:
        told = self._client(state, action)
        return action, state._replace(client=told.client, sent=state.sent | told.sent)

    def _client(self, state: Condition, action: Action) -> Told:
        key = state.client, action, state.now
        told = self._told.get(key)
        if told is None:
            told = self._told[key] = self._tell_client(state, action)
        return told

    def _tell_client(self, state: Condition, action: Action) -> Told:
        now = Millis(state.now)
        if action.what == "starts":
            down = self.clients.things[state.client]
            step = clients.started(down.kept, INTERFACES, life=down.life + 1, now=now)
        else:
            step = clients.Step(client=self.clients.copy(state.client), now=now)
            step.client.durable = False
            self._act_on_client(step, action)
        client, crashed = step.client, None
        if client.durable:
            crashed = self.clients.put(Down(client.kept, client.life))
        client.durable = False
        return Told(self.clients.put(client), crashed, self._put(step.sent))

    def _act_on_client(self, step: clients.Step, action: Action) -> None:
        match action.what:
            case "hears":
                clients.hear(step, self.packets.things[action.packet])
            case "notices silence":
                clients.tell(step, _silence(step.client.epoch))
            case what if what == TOO_LATE:
                clients.tell(step, _silence(step.client.epoch - 1))
            case "is ordered to jump":
                clients.tell(step, OperatorJump(transport=None))
            case "wakes":
                clients.wake(step)

    # A gateway.

    def _of_gateway(self, state: Condition, where: int) -> Iterator[tuple[Action, Condition]]:
        gateway = self.gateways.things[state.gateways[where]]
        if isinstance(gateway, Down):
            yield from self._with_gateway(state, Action("starts", where))
            return
        if gateway.stage is not None:
            yield from self._with_gateway(state, Action("goes on", where))
        else:
            for number in bits(state.sent):
                if self._upward[number]:
                    yield from self._with_gateway(state, Action("hears", where, number))
            yield from self._signals(state, where, gateway)
        if state.left[Fault.GATEWAY_CRASH]:
            left = less(state.left, Fault.GATEWAY_CRASH)
            down = self.gateways.put(Down(None, gateway.life))
            yield Action("crashes", where), placed(state, where, down)._replace(left=left)

    def _signals(
        self, state: Condition, where: int, gateway: Gateway
    ) -> Iterator[tuple[Action, Condition]]:
        if gateway.held is not None and gateway.held.current is not None:
            yield from self._faulty(state, Fault.SILENCE, Action("notices silence", where))
            yield from self._faulty(state, Fault.SILENCE, Action(TOO_LATE, where))
            yield from self._faulty(state, Fault.LATENESS, Action("notices lateness", where))
        if gateway.wake_at is not None:
            yield from self._faulty(state, Fault.WAKE, Action("wakes", where))
        if gateway.cached != self.ledgers.things[state.ledger].record:
            yield from self._with_gateway(state, Action("flushes", where))

    def _with_gateway(self, state: Condition, action: Action) -> Iterator[tuple[Action, Condition]]:
        yield action, self._after(state, action, self._gateway(state, action, failing=False))
        if state.left[Fault.STORE_FAILURE]:
            done = self._gateway(state, action, failing=True)
            if done.failed:
                left = less(state.left, Fault.STORE_FAILURE)
                told = action._replace(what=f"{action.what}, and cannot write:")
                yield told, self._after(state, action, done)._replace(left=left)

    def _after(self, state: Condition, action: Action, done: Done) -> Condition:
        after = placed(state, action.where, done.gateway)
        return after._replace(ledger=done.ledger, sent=state.sent | done.sent)

    def _gateway(self, state: Condition, action: Action, *, failing: bool) -> Done:
        key = state.gateways[action.where], state.ledger, action, state.now, failing
        done = self._done.get(key)
        if done is None:
            done = self._done[key] = self._tell_gateway(state, action, failing=failing)
        return done

    def _tell_gateway(self, state: Condition, action: Action, *, failing: bool) -> Done:
        number, ledger = state.gateways[action.where], self.ledgers.things[state.ledger]
        if action.what == "starts":
            life = self.gateways.things[number].life + 1
            node = NodeId(action.where + 1)
            fresh = self.started(node, ledger, life=life, now=state.now)
            return Done(self.gateways.put(fresh), state.ledger, 0, failed=False)
        step = gateways.Step(
            gateway=self.gateways.copy(number),
            ledger=ledger,
            now=Millis(state.now),
            failing=failing,
        )
        self._act_on_gateway(step, action)
        return Done(
            self.gateways.put(step.gateway),
            self.ledgers.put(step.ledger),
            self._put(step.sent),
            step.failed,
        )

    def _act_on_gateway(self, step: gateways.Step, action: Action) -> None:
        held = step.gateway.held
        epoch = 0 if held is None or held.current is None else held.current[0]
        match action.what:
            case "hears":
                gateways.hear(step, self.packets.things[action.packet])
            case "goes on":
                gateways.go_on(step)
            case "flushes":
                gateways.flush(step)
            case "notices silence":
                gateways.tell(step, f.PeerSilent(number=NUMBER, epoch=epoch, silent_us=LATE_US))
            case what if what == TOO_LATE:
                late = f.PeerSilent(number=NUMBER, epoch=epoch - 1, silent_us=LATE_US)
                gateways.tell(step, late)
            case "notices lateness":
                gateways.tell(step, _late(epoch))
            case "wakes":
                gateways.wake(step)

    def just(self, state: Condition, action: Action) -> Condition:
        """Return what one thing leads to, with nothing failing on the way."""
        if action.where < 0:
            return self._with_client(state, action)[1]
        return self._after(state, action, self._gateway(state, action, failing=False))

    def _due(self, state: Condition, where: int) -> int:
        number = state.client if where < 0 else state.gateways[where]
        shelf = self.clients if where < 0 else self.gateways
        wake_at: int = shelf.things[number].wake_at
        return max(state.now, wake_at)

    def _put(self, sent: list[Packet]) -> int:
        """Return the packets as a set of bits."""
        bits = 0
        for packet in sent:
            number = self.packets.put(packet)
            if number == len(self._upward):
                upward = isinstance(packet, Request | Traffic) or getattr(packet, "way", "") == "up"
                self._upward.append(upward)
            bits |= 1 << number
        return bits


def _silence(epoch: int) -> f.BindingSilent:
    return f.BindingSilent(
        epoch=epoch,
        direction="both",
        silent_us=LATE_US,
        misses=3,
        unanswered=3,
        standby_answered=True,
    )


def _late(epoch: int) -> f.PathSampled:
    return f.PathSampled(
        number=NUMBER,
        epoch=epoch,
        srtt_us=SRTT_US,
        base_rtt_us=SRTT_US,
        jitter_us=0,
        base_jitter_us=0,
        loss_in=0.0,
        loss_out=0.0,
        late_us=LATE_US,
    )
