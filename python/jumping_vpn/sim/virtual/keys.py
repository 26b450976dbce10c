"""The keys of a simulated world: always the same, in private files of this process."""

import base64
import hashlib
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Final

from jumping_vpn.dataplane.stepped import Keys, load_client_keys, load_gateway_keys

CLIENTS_MAX: Final = 8
MEMORY: Final = Path("/dev/shm")  # noqa: S108  a directory of its own is made there
GATEWAY_KEYS: Final = ("gateway.key", "node.key", "cluster.key")


class KeyRing:
    """The keys of one gateway and of every client."""

    def __init__(self, directory: Path) -> None:
        for name in GATEWAY_KEYS:
            _write(directory / name, f"{_secret(name)}\n")
        self.gateway = load_gateway_keys(directory)
        self.clients: list[Keys] = []
        for number in range(CLIENTS_MAX):
            path = directory / f"client{number}.toml"
            _write(path, f'private_key = "{_secret(path.name)}"\n')
            keys, _ = load_client_keys(path)
            self.clients.append(keys)


@lru_cache(maxsize=1)
def workplace() -> "tempfile.TemporaryDirectory[str]":
    """Return a private directory in memory, removed with the process."""
    return tempfile.TemporaryDirectory(
        prefix="jvpn-sim-", dir=MEMORY if MEMORY.is_dir() else None, ignore_cleanup_errors=True
    )


@lru_cache(maxsize=1)
def key_ring() -> KeyRing:
    """Return the keys."""
    directory = Path(workplace().name) / "keys"
    directory.mkdir(mode=0o700)
    return KeyRing(directory)


def _secret(name: str) -> str:
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
