"""Private files: whole or absent, and refused when others could touch them."""

import os
import stat
from pathlib import Path

import pytest

from jumping_vpn.service.files import FileRefused, erase_durably, read_private, write_durably


def test_what_was_written_is_read_back_and_private(tmp_path: Path) -> None:
    path = tmp_path / "session.state"

    write_durably(path, b"first")
    write_durably(path, b"second")

    assert read_private(path) == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["session.state"]


def test_a_missing_file_is_no_error(tmp_path: Path) -> None:
    assert read_private(tmp_path / "session.state") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_can_touch_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "session.state"
    path.write_bytes(b"secret")
    path.chmod(mode)

    with pytest.raises(FileRefused, match=f"chmod 600 {path}"):
        read_private(path)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    write_durably(target, b"secret")
    link = tmp_path / "session.state"
    link.symlink_to(target)

    with pytest.raises(FileRefused, match=r"session\.state"):
        read_private(link)


def test_an_oversized_file_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "session.state"
    write_durably(path, b"")
    os.truncate(path, 1 << 30)

    with pytest.raises(FileRefused, match="larger than"):
        read_private(path)


def test_a_crash_between_write_and_rename_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "session.state"
    write_durably(path, b"old")
    (tmp_path / "session.state.new").write_bytes(b"half writt")

    assert read_private(path) == b"old"
    write_durably(path, b"new")
    assert read_private(path) == b"new"


def test_erasing_removes_the_file_and_what_a_crash_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "session.state"
    write_durably(path, b"secret")
    (tmp_path / "session.state.new").write_bytes(b"half a secret")

    erase_durably(path)
    erase_durably(path)

    assert list(tmp_path.iterdir()) == []
