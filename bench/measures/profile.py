"""Where processor time goes: samples of `perf`, sorted by what the code was busy with.

A sample belongs to the first kind whose mark is in its call chain, read from the innermost call
outwards: what a system call makes the kernel do belongs to that call.
"""

import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

FREQUENCY: Final = "1999"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One thing to be busy with, and the names of functions that tell of it."""

    name: str
    marks: tuple[str, ...]

    def bears(self, function: str) -> bool:
        """Say whether a function bears one of the marks."""
        return any(mark in function for mark in self.marks)


CALLS: Final = (
    Kind(name="AEAD", marks=("aes_", "aesni", "gcm", "ghash", "chacha", "poly1305", "vaes")),
    Kind(name="TUN: write", marks=("tun_chr_write_iter", "tun_get_user")),
    Kind(name="TUN: read", marks=("tun_chr_read_iter", "tun_do_read")),
    Kind(name="UDP: send", marks=("__sys_sendmsg", "__sys_sendmmsg", "__sys_sendto")),
    Kind(name="UDP: receive", marks=("__sys_recvmsg", "__sys_recvmmsg", "__sys_recvfrom")),
    Kind(name="waiting and waking", marks=("epoll", "schedule", "futex", "timerfd", "eventfd")),
    Kind(name="kernel, other", marks=("do_syscall_64", "entry_SYSCALL", "asm_", "irq")),
)
"""Told by any function of a call chain."""
PLACES: Final = (
    Kind(name="copies", marks=("memcpy", "memmove", "memset")),
    Kind(name="control plane", marks=("bin/python", "libpython", "libsqlite")),
)
"""Told by the innermost function or the file that it is in."""
OWN: Final = "engine and loop"
"""What bears none of the marks: the program's own code."""


def record(pids: Iterable[int], work: Callable[[], T]) -> tuple[T, Counter[str]]:
    """Do some work while processes are watched; return how many samples each kind has."""
    with tempfile.TemporaryDirectory() as directory:
        kept = Path(directory) / "perf.data"
        command = ("perf", "record", "--quiet", "--call-graph", "fp", "--freq", FREQUENCY)
        watched = ("--pid", ",".join(map(str, pids)), "--output", str(kept))
        with subprocess.Popen((*command, *watched), stderr=subprocess.DEVNULL) as watcher:
            done = work()
            watcher.terminate()
        script = ("perf", "script", "--input", str(kept), "--fields", "ip,sym,dso")
        told = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    return done, count(told)


def count(script: str) -> Counter[str]:
    """Return how many samples of what `perf script` prints belong to each kind."""
    chains = (block.splitlines() for block in script.split("\n\n"))
    return Counter(kind_of([_function(line) for line in chain]) for chain in chains if chain)


def kind_of(chain: Sequence[str]) -> str:
    """Return what a call chain is busy with; innermost call first."""
    for function in chain:
        for kind in CALLS:
            if kind.bears(function):
                return kind.name
    return next((kind.name for kind in PLACES if kind.bears(chain[0])), OWN)


def _function(line: str) -> str:
    return line.strip().partition(" ")[2]
