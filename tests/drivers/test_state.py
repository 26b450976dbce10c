"""The client's state file: durable, private, refused when damaged, newest only."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from jumping_vpn.client.state import HEADER, SLOT_SIZE, StateKeeper, load
from jumping_vpn.core.client_state import ClientState
from jumping_vpn.service.files import FileRefused, write_durably


def test_a_state_survives_the_process_that_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "session.state"

    keep(path, a_state(epoch=7))

    assert load(path) == a_state(epoch=7)


def test_without_a_file_there_is_no_session_to_continue(tmp_path: Path) -> None:
    assert load(tmp_path / "session.state") is None


def test_an_erased_state_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "session.state"

    keep(path, a_state(epoch=7), None)

    assert load(path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("position", [0, 8, 16, 30, 60])
def test_one_flipped_bit_anywhere_in_the_only_slot_is_noticed(
    tmp_path: Path, position: int
) -> None:
    path = tmp_path / "session.state"
    keep(path, a_state(epoch=7))
    content = damage(path, SLOT_SIZE + position)

    with pytest.raises(FileRefused, match="damaged"):
        load(path)

    assert path.read_bytes() == content


def test_a_write_that_was_torn_leaves_the_state_before_it(tmp_path: Path) -> None:
    path = tmp_path / "session.state"
    keep(path, a_state(epoch=7), a_state(epoch=8))
    damage(path, HEADER.size + 20)

    assert load(path) == a_state(epoch=7)


def test_of_two_whole_slots_the_newer_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "session.state"

    keep(path, *(a_state(epoch=epoch) for epoch in range(1, 6)))

    assert load(path) == a_state(epoch=5)
    assert path.stat().st_size == 2 * SLOT_SIZE


def test_a_file_that_was_removed_under_way_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "session.state"

    async def run() -> None:
        keeper = StateKeeper(path)
        await keeper.keep(a_state(epoch=1))
        path.unlink()
        await keeper.keep(a_state(epoch=2))
        keeper.close()

    asyncio.run(run())

    assert load(path) == a_state(epoch=2)


def test_a_state_that_fits_no_slot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.state"

    with pytest.raises(OSError, match="more than a slot holds"):
        keep(path, msgspec.structs.replace(a_state(epoch=1), root=bytes(SLOT_SIZE)))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.state"
    write_durably(path, b"jvpnst")

    with pytest.raises(FileRefused, match="damaged"):
        load(path)


def test_the_format_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "session.state"
    keep(path, msgspec.structs.replace(a_state(epoch=7), format=99))

    with pytest.raises(FileRefused, match="has format 99"):
        load(path)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.state"
    keep(path, a_state(epoch=7))
    path.chmod(0o644)

    with pytest.raises(FileRefused, match="chmod 600"):
        load(path)


def test_of_states_written_lazily_the_newest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "session.state"

    async def run() -> None:
        keeper = StateKeeper(path)
        keeper.keep_lazily(a_state(epoch=1))
        keeper.keep_lazily(a_state(epoch=2))
        await keeper.flush()
        keeper.close()

    asyncio.run(run())

    assert load(path) == a_state(epoch=2)


def test_a_state_that_waits_never_replaces_a_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "session.state"

    async def run() -> None:
        keeper = StateKeeper(path)
        keeper.keep_lazily(a_state(epoch=1))
        await keeper.keep(a_state(epoch=2))
        await keeper.flush()
        keeper.close()

    asyncio.run(run())

    assert load(path) == a_state(epoch=2)


def test_a_disk_that_refuses_is_told_to_who_must_know(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "session.state"

    async def run() -> int:
        keeper = StateKeeper(missing)
        keeper.keep_lazily(a_state(epoch=1))
        await keeper.flush()
        with pytest.raises(FileNotFoundError):
            await keeper.keep(a_state(epoch=2))
        keeper.close()
        return keeper.lazy_writes_failed

    assert asyncio.run(run()) == 1


def keep(path: Path, *states: ClientState | None) -> None:
    async def run() -> None:
        keeper = StateKeeper(path)
        for state in states:
            await keeper.keep(state)
        keeper.close()

    asyncio.run(run())


def damage(path: Path, position: int) -> bytes:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    return bytes(content)


def a_state(*, epoch: int) -> ClientState:
    return ClientState(
        session_id=bytes(16),
        epoch=epoch,
        owner=1,
        root=b"sealed",
        version=3,
        attempts_reserved=16,
        sequences_reserved=256,
        transports_reserved=16,
        sequence_seen=9,
        lookup_ids=(b"i" * 16,),
        policy=b"",
        policy_version=1,
        addresses=("10.77.0.2",),
        routes=("10.77.0.0/24",),
        dns=(),
        mtu=1420,
        endpoints=("192.0.2.1:4789",),
        session_ends_ms=1,
    )
