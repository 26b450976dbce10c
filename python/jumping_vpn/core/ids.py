"""Identifiers and units: plain values that the type checker keeps apart."""

from typing import Final, NewType

SessionId = NewType("SessionId", bytes)
"""16 random bytes, made by a handshake; the session's identity for life."""

SessionNumber = NewType("SessionNumber", int)
"""The store's short name of a session, 48 bit; durable, never reused."""

NodeId = NewType("NodeId", int)
"""One gateway, as lookup ids and owners name it."""

BindingEpoch = NewType("BindingEpoch", int)
"""The number of a binding within its session; the first is 1, none is used twice."""

StateVersion = NewType("StateVersion", int)
"""The number of moves a session has made; 64 bit, grows by one with each."""

OwnershipEpoch = NewType("OwnershipEpoch", int)
"""The number of times a session's ownership was taken."""

Attempt = NewType("Attempt", int)
"""The client's number of a reattach; each newer than the last."""

Millis = NewType("Millis", int)
"""A duration in milliseconds, or a reading of the process's monotonic clock."""

SESSION_ID_SIZE: Final = 16
VERSION_MAX: Final = StateVersion(2**64 - 1)
