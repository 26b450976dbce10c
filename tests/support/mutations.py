"""Guards taken out of the code that ships: what exploration and simulation both must notice."""

import msgspec
import pytest

from jumping_vpn.core import jumps, reattach, requests
from jumping_vpn.core.client_desk import ClientDesk
from jumping_vpn.core.course import Course

Patch = pytest.MonkeyPatch


def without_rungs(patch: Patch, *checks: str) -> None:
    kept = tuple(each for each in reattach.LADDER if each.check not in checks)
    assert len(kept) == len(reattach.LADDER) - len(checks)
    patch.setattr(reattach, "LADDER", kept)


def another_candidate_of_the_accepted_attempt_is_accepted_too(patch: Patch) -> None:
    without_rungs(patch, "not another candidate of the accepted attempt")


def an_attempt_below_the_floor_is_accepted(patch: Patch) -> None:
    without_rungs(patch, "the attempt is not below the floor")


def an_accepted_root_counts_as_confirmed_at_once(patch: Patch) -> None:
    accept = jumps.accept

    def hasty(course: Course, *arguments: object) -> None:
        accept(course, *arguments)  # type: ignore[arg-type]
        course.change(confirmed=course.record.unconfirmed, unconfirmed=None)

    patch.setattr(requests, "accept", hasty)


def the_client_uses_a_root_that_is_not_durable(patch: Patch) -> None:
    keep = ClientDesk._keep

    def lazily(self: ClientDesk, turn: object) -> object:
        kept = keep(self, turn)  # type: ignore[arg-type]
        return (
            kept if kept is None or kept.state is None else msgspec.structs.replace(kept, lazy=True)
        )

    patch.setattr(ClientDesk, "_keep", lazily)


def a_session_that_is_over_keeps_its_roots(patch: Patch) -> None:
    patch.setattr(Course, "_forget_secrets", lambda _: None)
