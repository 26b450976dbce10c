"""The boundary to the Rust core. Written by hand; `stubtest` compares it with the binary.

Every call takes the engine's lock for a few microseconds. What takes longer than a hand-over of the
interpreter, or has to wait for the lock, releases it meanwhile.
Secrets never cross: what leaves is public, sealed, or a token.

Orders raise LookupError when what they name is gone, ValueError for a malformed argument, OSError
when the kernel refuses, and RuntimeError when the data plane is closed, has failed, or has the
other role.
"""

from typing import Any, final

__all__ = ["DataPlane", "Keys", "Limits", "LinkElement", "Stepper", "write_client_config"]

@final
class Keys:
    """Static and node secrets, from 0600 files owned by the caller, else PermissionError."""

    @staticmethod
    def create_gateway(directory: str) -> Keys:
        """Create `gateway.key`, `node.key` and `cluster.key`; FileExistsError if one is there."""
    @staticmethod
    def load_gateway(directory: str) -> Keys: ...
    @staticmethod
    def load_client(path: str) -> tuple[Keys, str]:
        """Return the keys of a client configuration and its text with the secrets blanked out."""
    def public(self) -> bytes: ...

def write_client_config(descriptor: int, template: str) -> bytes:
    """Write `template` with a new key for `@PRIVATE_KEY@`; return its public half."""

@final
class Limits:
    """The part of a session's policy that the data plane executes."""

    def __new__(
        cls,
        *,
        heartbeat_us: int,
        heartbeat_idle_us: int,
        dead_after_misses: int,
        false_deaths_per_day: float,
        peer_silence_us: int,
        loss_window_us: int,
        loss_threshold: float,
        latency_factor: float,
        jitter_factor: float,
        latency_floor_us: int,
        replay_window: int,
        retain_time_us: int,
        retain_bytes: int,
    ) -> Limits: ...

@final
class DataPlane:
    """One engine, its sockets and TUN, and the thread that moves its packets."""

    @staticmethod
    def gateway(keys: Keys, *, node: int, incarnation: int, capacity: int) -> DataPlane: ...
    @staticmethod
    def client(keys: Keys, *, gateway_public: bytes) -> DataPlane: ...
    def start(self) -> None: ...
    def close(self) -> None:
        """Send what is queued, stop the packet loop, wait for its end; twice is as good as once."""
    def event_fd(self) -> int: ...
    def drain(self, limit: int) -> list[tuple[Any, ...]]:
        """Return up to `limit` facts, and before them what was dropped.

        Each is `(kind, field, ...)` in the order of the class in core/facts.py. RuntimeError once
        the packet loop has failed or was closed and its last facts are drained.
        """
    def open_tun(self, name: str, mtu: int) -> str:
        """Create a TUN device, left down; return its name (the kernel numbers `jvpn%d`)."""
    def extend_fence(self, until_us: int) -> None:
        """Forward until CLOCK_BOOTTIME reaches `until_us`; never moves the deadline back."""
    def counters(self) -> dict[str, int]: ...
    def set_limits(self, number: int, limits: Limits) -> None: ...
    def send_message(self, number: int, message: bytes) -> bool: ...
    def drop_binding(self, number: int, epoch: int) -> None: ...

    # Gateway
    def listen(self, address: str, port: int) -> int:
        """Open a socket on `address` and return its port, which the kernel chooses for port 0."""
    def allow_clients(self, publics: list[bytes]) -> None: ...
    def set_isolation(self, isolated: bool) -> None: ...
    def seal_birth(self, birth: int) -> bytes: ...
    def adopt_birth(
        self, birth: int, number: int, addresses: list[str], limits: Limits
    ) -> None: ...
    def grant(self, number: int, message: bytes) -> bool:
        """Send HANDSHAKE_ACK with the secrets that belong to it put in by the data plane."""
    def reject_birth(self, birth: int, message: bytes) -> None: ...
    def install(
        self,
        number: int,
        session_id: bytes,
        confirmed: tuple[int, bytes],
        unconfirmed: tuple[int, bytes] | None,
        addresses: list[str],
        limits: Limits,
    ) -> None:
        """Hold a session from the store, (epoch, sealed root) each; no binding, window, counter."""
    def holds(self, number: int) -> bool: ...
    def release(self, number: int) -> None: ...
    def freeze(self, number: int) -> None: ...
    def derive(
        self, token: int, epoch: int, owner: int, ids: int
    ) -> tuple[bytes, int, int, bool, bool, list[bytes]]:
        """Derive the binding that `token` would make; installs nothing.

        Return (sealed root, downlink packets given up since the last jump, downlink in doubt,
        window lost, counter lost, so many fresh lookup ids).
        """
    def bind(self, token: int, keep_previous: bool) -> None:
        """Install the derived binding as unconfirmed.

        With `keep_previous` packets are still received on the binding that is left. Answer at once,
        then `flush`.
        """
    def respond(self, token: int, message: bytes) -> None:
        """Seal the answer to a request; it leaves with the next turn of the loop. See `flush`."""
    def flush(self) -> None:
        """Wake the packet loop to send what `respond` has queued: once for many answers."""
    def repeat_answer(self, token: int) -> bool:
        """Send the remembered answer of the same request bytes to this copy's source.

        False: it is not in memory.
        """
    def forget(self, token: int) -> None: ...
    def session_gone(self, token: int) -> None: ...
    def session_found(self, token: int) -> None:
        """Open the stashed request again after `install`; the facts follow."""
    def lookup_ids(self, number: int, count: int) -> list[bytes]: ...

    # Client
    def restore(self, session_id: bytes, epoch: int, sealed: bytes, limits: Limits) -> None: ...
    def open_path(self, path: int, interface: str, remote: str, port: int, mark: int) -> None: ...
    def close_path(self, path: int) -> None: ...
    def start_handshake(self, path: int) -> None: ...
    def stop_handshake(self) -> None: ...
    def seal_root(self) -> bytes:
        """Return the sealed root of the current binding, with the gone key, for the state file."""
    def request(
        self, attempt: int, candidates: list[tuple[int, bytes, bytes]], early: bool
    ) -> None:
        """Send (path, lookup id, message) each with a key of its own.

        They are repeated until one is answered or all are withdrawn.
        """
    def withdraw(self) -> None: ...
    def adopt(self, token: int, epoch: int, owner: int) -> bytes:
        """Derive the next root from the response `token` and return it sealed; installs nothing."""
    def activate(self, token: int) -> tuple[int, int, int]:
        """Install the adopted binding, send REATTACH_CONFIRM and what is owed.

        Return (resent, given up, in doubt).
        """
    def probe(self, path: int, lookup_id: bytes, interval_us: int) -> None:
        """Probe a candidate at this interval; 0 stops."""
    def paths(self) -> list[tuple[int, bool, bool, int, int, int, float, float, int, int, int]]:
        """Return each open path and its figures.

        That is (path, active, up, srtt us, jitter us, base rtt us, loss in, loss out, bytes in,
        bytes out, packet size).
        """
    def erase(self) -> None: ...

@final
class LinkElement:
    """The lab's link: forwards frames between two interfaces with delay, jitter, loss and holes."""

    def __new__(cls, left: str, right: str) -> LinkElement: ...
    def run(self, control: int, answers: int) -> None:
        """Forward until `control` ends; each line on it is the settings as JSON.

        Once they hold, a line on `answers` tells when, in nanoseconds of CLOCK_MONOTONIC, and the
        counters.
        """
    def counters(self) -> dict[str, int]: ...

@final
class Stepper:
    """A data plane in virtual time: its time, entropy and packets are the caller's.

    It has neither socket, TUN nor thread, because what has a seed must not lead out of the process.
    """

    @staticmethod
    def gateway(
        keys: Keys, *, node: int, incarnation: int, capacity: int, seed: int
    ) -> Stepper: ...
    @staticmethod
    def client(keys: Keys, *, gateway_public: bytes, seed: int) -> Stepper: ...
    def plane(self) -> DataPlane:
        """Return the data plane that takes the orders and gives the facts."""
    def set_time(self, now_us: int) -> None:
        """Say what CLOCK_BOOTTIME shows, from here on."""
    def hear(self, path: int | None, remote: str, datagram: bytes) -> None:
        """Let a datagram arrive, at a client on a path."""
    def read(self, inner: bytes) -> None:
        """Let the TUN bring an inner packet."""
    def fail(self, path: int, errno: int) -> None:
        """Tell that sending on a path failed."""
    def too_big(self, path: int, size: int) -> None:
        """Tell that this host refuses to send a packet of this size."""
    def turn(
        self, due: bool
    ) -> tuple[list[tuple[int | None, str, bytes]], list[bytes], int | None, bool, bool]:
        """Do what is due, if `due`, and return what came out since the last turn.

        That is (path, remote, datagram) each, inner packets for the TUN, when the next turn is due,
        whether the TUN may be read, and whether there are new facts.
        """
