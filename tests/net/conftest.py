"""A network namespace of its own for every test here: entered by the test, gone with it."""

import ctypes
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000

Shell = Callable[[str], str]


@pytest.fixture
def namespace() -> Iterator[Shell]:
    """Move this thread into an empty network namespace; what it returns runs a command there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open(encoding="ascii") as home:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            run("ip link set lo up")
            yield run
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


def run(command: str) -> str:
    """Run a command and return what it printed."""
    return subprocess.run(
        command.split(), check=True, capture_output=True, text=True, timeout=10
    ).stdout
