"""What a client keeps across its own restart: enough to go on, nothing to use a key twice.

Attempts, sequences and transport ids are reserved ahead of use: the file holds the end of the
reserved block, so that a crash skips numbers and never uses one twice. An old copy of the file
fails safe: the gateway has seen newer attempts and holds a newer root.
"""

import msgspec


class ClientState(msgspec.Struct, frozen=True, kw_only=True):
    """The state file. `root` is sealed by the data plane; wall times are the gateway's clock.

    `state`, `highest_epoch`, `ownership_epoch` and `transport` are those of the session at
    `version`, for the log of its moves; `epoch` is that of `root`.
    """

    format: int = 1
    session_id: bytes
    epoch: int
    owner: int
    root: bytes
    version: int
    attempts_reserved: int
    sequences_reserved: int
    transports_reserved: int
    sequence_seen: int
    lookup_ids: tuple[bytes, ...]
    policy: bytes
    policy_version: int
    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    dns: tuple[str, ...]
    mtu: int
    endpoints: tuple[str, ...]
    session_ends_ms: int
    state: str = "RECOVERING"
    highest_epoch: int = 0
    ownership_epoch: int = 1
    transport: str = ""
