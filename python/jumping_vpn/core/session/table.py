"""The table: every legal move, one line each. A pair of shape and input without a line is refused.

A row holds no condition: cryptography, admission, policy or a timer decided which input happened.
"""

import hashlib
from enum import StrEnum
from typing import Final

from msgspec import Struct

from jumping_vpn.core.session import inputs as i
from jumping_vpn.core.session.model import Shape, State
from jumping_vpn.core.session.reasons import Reason


class Effect(StrEnum):
    """What a move does to the binding."""

    KEEP = "keep"
    BIND = "bind"
    DROP = "drop"


class Row(Struct, frozen=True):
    """One move: in any of `before`, `on` leads to `after`. The first reason is the default."""

    before: tuple[Shape, ...]
    on: type[i.Input]
    after: State
    effect: Effect
    reasons: tuple[Reason, ...]


R, S = Reason, State

BIRTH: Final = (Shape.BIRTH,)
ATTACHED: Final = (Shape.ATTACHED,)
VOLATILE: Final = (Shape.VOLATILE,)
LOST: Final = (Shape.RECOVERING,)
DEGRADED: Final = (Shape.DEGRADED_BOUND,)
UNBOUND: Final = (Shape.DEGRADED_UNBOUND,)
BOUND: Final = ATTACHED + VOLATILE + DEGRADED
LIVE: Final = BOUND + LOST + UNBOUND

KEEP, BIND, DROP = Effect.KEEP, Effect.BIND, Effect.DROP

R_HANDSHAKE: Final = (R.HANDSHAKE_FAIL, R.HANDSHAKE_TIMEOUT)
R_QUALITY: Final = (
    R.LOSS_THRESHOLD_EXCEEDED,
    R.LATENCY_THRESHOLD_EXCEEDED,
    R.JITTER_THRESHOLD_EXCEEDED,
    R.HEARTBEAT_LATE,
)
R_DEATH: Final = (
    R.LINK_DOWN,
    R.HEARTBEAT_TIMEOUT,
    R.SOCKET_ERROR,
    R.NAT_REBINDING,
    R.PATH_MTU_FAILED,
    R.GATEWAY_RESTARTED,
    R.CONFIRM_TIMEOUT,
    R.PEER_REPORTED,
)
R_JUMP: Final = (
    R.REATTACH_SUCCESS,
    R.PLANNED_SWITCH,
    R.QUALITY_SWITCH,
    R.OPERATOR_SWITCH,
    R.REKEY,
)
R_OWNER: Final = (R.OWNERSHIP_TRANSFERRED, R.GATEWAY_DRAINED)
R_END: Final = (R.CLIENT_REQUEST, R.OPERATOR_REQUEST, R.POLICY_TERMINATION)
R_LIMIT: Final = (R.SWITCH_RATE_LIMITED,)
R_LOSS_TTL: Final = (R.TTL_TRANSPORT_LOSS_EXPIRED,)

R_WINDOW: Final = (R.RECOVERY_BOUNDS_EXCEEDED,)

# fmt: off
TABLE: Final = (
    Row(BIRTH,          i.HandshakeVerified,       S.ATTACHED,   BIND, (R.HANDSHAKE_OK,)),
    Row(BIRTH,          i.HandshakeRefused,        S.TERMINATED, KEEP, R_HANDSHAKE),
    Row(ATTACHED,       i.QualityBreached,         S.VOLATILE,   KEEP, R_QUALITY),
    Row(VOLATILE,       i.QualityRestored,         S.ATTACHED,   KEEP, (R.HEALTH_RECOVERED,)),
    Row(VOLATILE,       i.VolatilityExpired,       S.DEGRADED,   KEEP, (R.VOLATILITY_PERSISTED,)),
    Row(BOUND,          i.BindingLost,             S.RECOVERING, DROP, R_DEATH),
    Row(LIVE,           i.ReattachVerified,        S.ATTACHED,   BIND, R_JUMP),
    Row(VOLATILE,       i.SwitchLimitReached,      S.DEGRADED,   KEEP, R_LIMIT),
    Row(LOST,           i.SwitchLimitReached,      S.DEGRADED,   KEEP, R_LIMIT),
    Row(LOST,           i.RecoveryWindowClosed,    S.DEGRADED,   KEEP, R_WINDOW),
    Row(DEGRADED,       i.QualityRestored,         S.ATTACHED,   KEEP, (R.EXIT_DEGRADED_MODE,)),
    Row(DEGRADED,       i.DegradationExpired,      S.TERMINATED, DROP, (R.DEGRADED_TTL_EXPIRED,)),
    Row(LOST + UNBOUND, i.TransportLossTtlExpired, S.TERMINATED, KEEP, R_LOSS_TTL),
    Row(BOUND,          i.OwnershipMoved,          S.RECOVERING, DROP, R_OWNER),
    Row(LOST,           i.OwnershipMoved,          S.RECOVERING, KEEP, R_OWNER),
    Row(UNBOUND,        i.OwnershipMoved,          S.DEGRADED,   KEEP, R_OWNER),
    Row(LIVE,           i.OwnershipAmbiguous,      S.TERMINATED, DROP, (R.OWNERSHIP_AMBIGUOUS,)),
    Row(LIVE,           i.SessionTtlExpired,       S.TERMINATED, DROP, (R.TTL_SESSION_EXPIRED,)),
    Row(LIVE,           i.ProtocolViolated,        S.TERMINATED, DROP, (R.SECURITY_VIOLATION,)),
    Row(LIVE,           i.TerminateVerified,       S.TERMINATED, DROP, R_END),
    Row(LIVE,           i.VersionExhausted,        S.TERMINATED, DROP, (R.VERSION_EXHAUSTED,)),
)
# fmt: on

Cell = tuple[Shape, type[i.Input]]


def index(table: tuple[Row, ...]) -> dict[Cell, Row]:
    """Return the row of every cell; two rows for one cell are an error."""
    rows: dict[Cell, Row] = {}
    for row in table:
        for shape in row.before:
            if (shape, row.on) in rows:
                raise ValueError(f"two rows for {shape} and {row.on.__name__}")
            rows[shape, row.on] = row
    return rows


def row_for(shape: Shape, on: type[i.Input]) -> Row | None:
    """Return the one row of a cell, or None: then the input is refused."""
    return CELLS.get((shape, on))


def digest(table: tuple[Row, ...]) -> str:
    """Return the SHA-256 of a table's canonical text: which table governed a move."""
    lines = (
        f"{shape} {row.on.__name__} {row.after} {row.effect} {' '.join(row.reasons)}\n"
        for row in table
        for shape in row.before
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


CELLS: Final = index(TABLE)
TABLE_DIGEST: Final = digest(TABLE)
