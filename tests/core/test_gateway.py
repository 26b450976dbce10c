"""The gateway's role by itself: births, messages, commands and what a failed write leaves owing."""

from msgspec.structs import replace

from jumping_vpn.core import facts as f
from jumping_vpn.core.births import BirthRefused, grant_policy
from jumping_vpn.core.commands import AnnounceEndpoints, ChangePolicy, Drain, Terminate
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import (
    DropBinding,
    Gone,
    Grant,
    Install,
    Message,
    Release,
    SaveFailure,
    SessionFound,
    Touch,
)
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import encode
from support.gateways import request
from support.roles import NUMBER, SESSION, WALL, World, observed


def test_a_client_gets_at_most_what_the_operator_allows():
    operator = Policy(retain_bytes=1_000_000, max_switches_per_minute=6)

    granted = grant_policy(operator, {"retain_bytes": 2_000_000, "recovery_window": 500})

    assert isinstance(granted, Policy)
    assert granted.retain_bytes == 1_000_000
    assert granted.max_switches_per_minute == 6
    assert granted.recovery_window == 500


def test_a_policy_out_of_bounds_is_refused_and_named():
    refused = grant_policy(Policy(), {"dead_after_misses": 99})

    assert isinstance(refused, BirthRefused)
    assert refused.reason is m.HandshakeRefusal.POLICY_REFUSED
    assert "dead_after_misses = 99" in refused.detail


def test_a_repeated_handshake_message_gets_the_grant_again():
    world = attached()

    ready = handle(world, message(init(), sequence=900))

    assert isinstance(ready.send[0], Grant)
    assert isinstance(ready.save, Touch)
    assert ready.save.lazy


def test_a_control_sequence_counts_once():
    world = attached()
    report = message(m.PathReport(unused_lookup_ids=0), sequence=500)
    world.store = handle(world, report).save.record

    again = handle(world, report)

    assert again.send == ()
    assert again.save is None


def test_lookup_ids_that_run_short_are_granted_anew():
    world = attached()

    ready = handle(world, message(m.PathReport(unused_lookup_ids=1), sequence=500))

    order = ready.send[0]
    assert isinstance(order, Message)
    assert order.ids == 7


def test_an_unknown_message_is_answered_with_a_reject_that_names_it():
    world = attached()
    raw = encode(message_envelope(m.StateAck(version=1), sequence=500))
    raw = raw.replace(b"\xa9STATE_ACK", b"\xa9NEWS_ITEM")

    ready = handle(world, f.MessageReceived(number=NUMBER, epoch=1, message=raw))

    assert ready.send[0].message.payload == m.MessageReject(
        rejected_type="NEWS_ITEM", rejected_sequence=500
    )
    assert not getattr(ready.save, "events", ())


def test_a_message_that_cannot_be_read_ends_the_session():
    world = attached()

    world.hear(f.MessageReceived(number=NUMBER, epoch=1, message=b"\xc1"))

    assert world.store.session.state is State.TERMINATED
    assert world.moves()[-1].endswith("SECURITY_VIOLATION")
    assert world.store.confirmed.sealed == b""
    assert [e.reason_code for e in observed(world.events, "SECURITY_EVENT")]


def test_a_gateways_message_from_a_client_ends_the_session():
    world = attached()

    world.hear(message(m.EndpointsChanged(endpoints=()), sequence=500))

    assert world.moves()[-1].endswith("SECURITY_VIOLATION")


def test_a_transport_reported_dead_loses_its_binding_with_the_cause():
    world = attached()

    world.hear(message(m.TransportDead(epoch=1, cause="LINK_DOWN"), sequence=500))

    assert world.moves()[-1] == "v2 ATTACHED -> RECOVERING - LINK_DOWN"


def test_a_late_death_notice_of_an_older_binding_changes_nothing():
    world = attached()
    world.silence("wlan0")
    world.run(1_000)

    world.hear(message(m.TransportDead(epoch=1, cause="LINK_DOWN"), sequence=900))

    assert world.store.session.state is State.ATTACHED


def test_silence_of_the_peer_is_told_before_the_binding_goes():
    world = attached()

    ready = handle(world, f.PeerSilent(number=NUMBER, epoch=1, silent_us=10_000_000))

    order = ready.bind[0]
    assert isinstance(order, DropBinding)
    assert order.last_words.payload == m.TransportDead(epoch=1, cause="HEARTBEAT_TIMEOUT")


def test_a_death_whose_write_failed_is_owed_and_paid_later():
    world = attached()
    world.failing = [SaveFailure.STORE_UNAVAILABLE]

    world.hear(f.PeerSilent(number=NUMBER, epoch=1, silent_us=10_000_000))
    assert world.store.session.state is State.ATTACHED
    world.run(2_000)

    assert world.store.session.state is State.RECOVERING


def test_a_failed_write_after_a_jump_refuses_no_jump():
    world = attached()
    world.silence("wlan0")
    world.run(1_000)
    world.failing = [SaveFailure.STORE_UNAVAILABLE]

    world.hear(f.PeerSilent(number=NUMBER, epoch=2, silent_us=10_000_000))

    assert not list(observed(world.events, "REATTACH_REJECT"))


def test_a_request_after_an_end_that_could_not_be_written_finds_the_session_gone():
    world = attached()
    over = world.now = world.store.deadlines.session_ends
    ended = world.gateway.wake(world.store, **world._time())
    world.gateway.unsaved(ended, SaveFailure.STORE_UNAVAILABLE, **world._time())

    ready = handle(world, request(world.store, token=5, attempt=1))

    assert ready.send == (Gone(token=5),)
    assert ready.save.record.session.state is State.TERMINATED
    assert ready.save.record.session.since == over


def test_an_operator_ends_a_session_and_the_client_hears_it():
    world = attached()

    ready = command(world, Terminate(reason=Reason.OPERATOR_REQUEST))

    order = ready.bind[0]
    assert isinstance(order, Release)
    assert order.last_words.payload == m.Terminate(reason="OPERATOR_REQUEST")
    assert ready.save.record.session.state is State.TERMINATED


def test_a_drained_session_waits_for_its_client_elsewhere():
    world = attached()

    ready = command(world, Drain())

    session = ready.save.record.session
    assert (session.state, session.ownership_epoch) == (State.RECOVERING, 2)
    assert ready.save.events[0].reason_code is Reason.GATEWAY_DRAINED


def test_a_policy_changes_with_an_event_and_a_message():
    world = attached()
    stricter = Policy(max_switches_per_minute=4)

    ready = command(world, ChangePolicy(policy=stricter, policy_version=2))

    assert ready.save.record.policy is stricter
    changed = next(observed(list(ready.observe), "POLICY_CHANGED"))
    assert changed.data.changed == ("max_switches_per_minute",)
    assert ready.send[0].message.payload.policy_version == 2


def test_new_endpoints_are_told():
    ready = command(attached(), AnnounceEndpoints(endpoints=("198.51.100.9:4789",)))

    assert ready.send[0].message.payload.endpoints == ("198.51.100.9:4789",)


def test_a_session_from_the_store_is_installed_before_its_request_is_opened_again():
    world = attached()

    ready = handle(world, f.SessionWanted(token=3, number=NUMBER, source="198.51.100.1:1"))

    assert isinstance(ready.bind[0], Install)
    assert ready.send == (SessionFound(token=3),)


def test_a_session_that_is_over_is_gone():
    world = attached()
    world.store = command(world, Terminate(reason=Reason.OPERATOR_REQUEST)).save.record

    ready = handle(world, f.SessionWanted(token=3, number=NUMBER, source="198.51.100.1:1"))

    assert ready.send == (Gone(token=3),)


def test_a_restart_dates_the_loss_back_to_its_own_start():
    world = attached()
    world.start_gateway()
    started = world.now
    world.run(started + 5_000)

    store = world.store
    ready = world.gateway.wake(store, **world._time())

    ends = ready.save.record.deadlines.recovery_ends
    assert ends == started + Policy().recovery_window


def test_the_first_jump_after_a_restart_tells_which_transport_was_left():
    world = attached()

    world.start_gateway()
    world.tell(f.ResetHinted(epoch=1))
    world.run(1_000)

    (jump,) = observed(world.events, "TRANSPORT_SWITCH")
    assert jump.data.handover.left is not None
    assert jump.data.handover.left.startswith("udp/wlan0/")


def test_a_confirmation_behind_its_time_out_leaves_the_loss_running():
    world = attached()
    world.drop = lambda direction, kind: (direction, kind) == ("up", "CONFIRM")
    world.silence("wlan0")
    world.run(790)
    lost = world.store

    world.hear(f.BindingConfirmed(number=NUMBER, epoch=2))

    assert lost.session.state is State.RECOVERING
    assert world.store.confirmed.epoch == 2
    assert world.store.unconfirmed is None
    assert world.store.deadlines == lost.deadlines


def test_a_version_ahead_is_read_again_before_the_session_ends():
    world = attached()
    world.client.view.session = replace(world.client.view.session, version=9)

    world.silence("wlan0")
    world.run(1_000)

    assert world.moves()[-1].endswith("TERMINATED - OWNERSHIP_AMBIGUOUS")
    assert world.finish is not None


def attached() -> World:
    world = World()
    world.attach()
    return world


def handle(world: World, fact: f.Fact):
    return world.gateway.handle(fact, world.store, **world._time())


def command(world: World, order: object):
    return world.gateway.command(order, world.store, **world._time())


def message(payload: m.Payload, *, sequence: int) -> f.MessageReceived:
    raw = encode(message_envelope(payload, sequence=sequence))
    return f.MessageReceived(number=NUMBER, epoch=1, message=raw)


def message_envelope(payload: m.Payload, *, sequence: int) -> m.Envelope:
    return m.Envelope(
        session_id=SESSION,
        state_version=1,
        binding_epoch=1,
        ts_ms=WALL,
        sequence=sequence,
        payload=payload,
    )


def init() -> m.HandshakeInit:
    candidate = m.Candidate(id=1, adapter="udp", interface="wlan0", endpoint="192.0.2.1:4789")
    return m.HandshakeInit(client_version="1", candidate=candidate)
