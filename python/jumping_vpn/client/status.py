"""What the client tells over its control socket."""

import msgspec


class CandidateLine(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate transport; figures are null until the first probe is answered.

    `packet_size` is the largest packet that is sent on it, in bytes of UDP payload.
    """

    transport: str
    active: bool
    answering: bool
    srtt_us: int | None
    jitter_us: int | None
    loss_in: float | None
    loss_out: float | None
    bytes_in: int
    bytes_out: int
    packet_size: int | None


class LastJump(msgspec.Struct, frozen=True, kw_only=True):
    """The newest jump."""

    reason: str
    cause: str
    transport_before: str | None
    transport_after: str | None
    version: int
    epoch: int
    ago_ms: int


class ClientStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about the session as the client sees it. Durations are milliseconds.

    `state` is how it stands here and now, `acknowledged` what the gateway said last, at `version`.
    `late_ms` is for how long delivery has been unproven beyond the bound of its heartbeat.
    `doubt` says what a person should look into, empty where there is nothing.
    """

    name: str
    session_id: str | None
    state: str
    acknowledged: str
    late_ms: int
    version: int
    epoch: int
    transport: str | None
    confirmed: bool
    in_state_ms: int
    interface: str
    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    ends_in_ms: int | None
    jumps: int
    last_jump: LastJump | None
    candidates: tuple[CandidateLine, ...]
    counters: dict[str, int]
    client_version: str
    pid: int
    running_ms: int
    doubt: str = ""


class Jumped(msgspec.Struct, frozen=True, kw_only=True):
    """A jump that was ordered is done."""

    reason: str
    transport_before: str | None
    transport_after: str | None
    version: int
    epoch: int
    took_ms: int


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The session is over, and the tunnel is being removed."""

    outcome: str
    detail: str


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is counted: packets and discards of the data plane, work of the driver."""

    plane: dict[str, int]
    driver: dict[str, int]
