"""When a client says that nobody answers its session."""

import pytest

from jumping_vpn.client.doubt import UNANSWERED, UNANSWERED_AFTER, doubt_of
from jumping_vpn.core.ids import BindingEpoch, Millis
from jumping_vpn.core.policy.choice import Candidate
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.model import Binding, Transport
from jumping_vpn.core.view import View
from support.sessions import attached, binding


def test_a_session_that_nobody_answers_is_doubted_after_a_while() -> None:
    unanswered = [candidate(1, measured=False), candidate(2, measured=False)]

    early = doubt_of(view(None), unanswered, running_ms=Millis(UNANSWERED_AFTER - 1))
    late = doubt_of(view(None), unanswered, running_ms=UNANSWERED_AFTER)

    assert (early, late) == ("", UNANSWERED)


@pytest.mark.parametrize(
    ("bound", "measured"),
    [(binding(), [False]), (None, [False, True]), (None, [])],
    ids=["bound", "one path answered", "no path"],
)
def test_where_there_is_another_explanation_there_is_no_doubt(
    bound: Binding | None, measured: list[bool]
) -> None:
    candidates = [candidate(1 + at, measured=each) for at, each in enumerate(measured)]

    assert doubt_of(view(bound), candidates, running_ms=Millis(60_000)) == ""


def test_a_client_that_has_no_session_yet_has_no_doubt() -> None:
    candidates = [candidate(1, measured=False)]

    assert doubt_of(None, candidates, running_ms=Millis(60_000)) == ""


def view(bound: Binding | None) -> View:
    return View(
        session=attached(),
        binding=bound,
        epoch=BindingEpoch(1),
        policy=Policy(),
        policy_version=1,
        root=b"",
        addresses=(),
        routes=(),
        dns=(),
        mtu=1420,
        endpoints=(),
        session_ends_ms=0,
    )


def candidate(number: int, *, measured: bool) -> Candidate:
    transport = Transport(
        id=number, adapter="udp", interface=f"eth{number}", endpoint="203.0.113.1:4789"
    )
    return Candidate(
        transport=transport,
        measured=measured,
        loss=0.0,
        srtt_us=0,
        stable_since=Millis(0),
        preference=0,
    )
