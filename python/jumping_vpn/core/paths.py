"""The client's paths: candidates with their figures, lookup ids, and how often each is probed."""

from dataclasses import dataclass, field, replace
from typing import Final

from jumping_vpn.core.commands import CandidateAppeared, CandidateGone
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.choice import SILENT_LOSS, Candidate
from jumping_vpn.core.ready import Bind, ClosePath, OpenPath, ProbePath
from jumping_vpn.core.session.model import Transport

ACTIVE: Final = Millis(20_000)
STANDBY: Final = Millis(1_000)
CLOSE: Final = Millis(100)
SIZE_BASE: Final = 1232
"""UDP payload that every path of IPv6 carries; a path that does not is not healthy."""
WAITING_MAX: Final = 64
REMEMBERED: Final = 64
"""Transports, open or gone, whose ids a message may still name."""


@dataclass(slots=True, kw_only=True)
class Path:
    """One candidate that is open; `probed_every` is what the data plane was told last."""

    candidate: Candidate
    lookup_id: bytes | None = None
    probed_every: Millis = field(default=Millis(0))

    @property
    def id(self) -> int:
        """Return the number of the path, which is the transport's id."""
        return self.candidate.transport.id


class Paths:
    """Every open path. Transport ids are never used again, also across restarts of the client."""

    def __init__(self) -> None:
        self._paths: dict[int, Path] = {}
        self._unused: list[bytes] = []
        self._left: list[bytes] = []
        self._waiting: dict[tuple[str, str], CandidateAppeared] = {}
        self._transports: dict[int, Transport] = {}
        self.last_id = 0

    def __len__(self) -> int:
        """Return how many paths are open."""
        return len(self._paths)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Return every candidate, oldest first."""
        return tuple(path.candidate for path in self._paths.values())

    @property
    def unused_ids(self) -> tuple[bytes, ...]:
        """Return the lookup ids that no path has used."""
        return tuple(self._unused)

    @property
    def is_starved(self) -> bool:
        """Say whether a path has no lookup id and none is there to give it."""
        return not self._unused and any(path.lookup_id is None for path in self._paths.values())

    def find(self, path_id: int | None) -> Path | None:
        """Return an open path."""
        return None if path_id is None else self._paths.get(path_id)

    def transport(self, path_id: int) -> Transport | None:
        """Return the transport of a path, also of one that is gone, while it is remembered."""
        return self._transports.get(path_id)

    def named(self, name: str) -> int | None:
        """Return the path that a person names: its interface, its number, or its whole text."""
        for path in self._paths.values():
            transport = path.candidate.transport
            if name in {str(transport), transport.interface, str(transport.id)}:
                return transport.id
        return None

    def open(self, found: CandidateAppeared, *, room: int, now: Millis) -> OpenPath | None:
        """Open a path for a find of discovery, if it is new; without room it waits for a place."""
        if self._same(found.interface, found.endpoint):
            return None
        name = found.interface, found.endpoint
        self._waiting.pop(name, None)
        if len(self._paths) >= room:
            if len(self._waiting) < WAITING_MAX:
                self._waiting[name] = found
            return None
        self.last_id += 1
        transport = Transport(
            id=self.last_id,
            adapter=found.adapter,
            interface=found.interface,
            endpoint=found.endpoint,
            hops=found.hops,
        )
        candidate = Candidate(
            transport=transport,
            measured=False,
            loss=0.0,
            srtt_us=0,
            stable_since=now,
            preference=found.preference,
        )
        self._paths[transport.id] = Path(candidate=candidate)
        self._transports[transport.id] = transport
        self._transports.pop(transport.id - REMEMBERED, None)
        return OpenPath(path=transport.id, interface=found.interface, endpoint=found.endpoint)

    def next_waiting(self, *, room: int) -> CandidateAppeared | None:
        """Return the find that has waited longest, if there is a place for it."""
        if len(self._paths) >= room:
            return None
        return next(iter(self._waiting.values()), None)

    def close(self, gone: CandidateGone) -> tuple[Path, ...]:
        """Forget the paths that went away and return them; their lookup ids are left over."""
        closed = tuple(
            path
            for path in self._paths.values()
            if path.candidate.transport.interface == gone.interface
            and gone.endpoint in {None, path.candidate.transport.endpoint}
        )
        for interface, endpoint in tuple(self._waiting):
            if interface == gone.interface and gone.endpoint in {None, endpoint}:
                del self._waiting[interface, endpoint]
        for path in closed:
            del self._paths[path.id]
            if path.lookup_id is not None:
                self._left.append(path.lookup_id)
        return closed

    def measure(
        self, path_id: int, *, srtt_us: int, jitter_us: int, loss: float, now: Millis
    ) -> bool:
        """Take figures over; say whether the path was silent or unknown before."""
        path = self._paths.get(path_id)
        if path is None:
            return False
        before = path.candidate
        silent = before.loss >= SILENT_LOSS
        path.candidate = replace(
            before,
            measured=True,
            srtt_us=srtt_us,
            jitter_us=jitter_us,
            loss=min(loss, SILENT_LOSS),
            stable_since=now if silent else before.stable_since,
        )
        return silent or not before.measured

    def resize(self, path_id: int, *, size: int) -> None:
        """Note how large the packets of a path may be."""
        path = self._paths.get(path_id)
        if path is not None:
            path.candidate = replace(path.candidate, narrow=size < SIZE_BASE)

    def mark_silent(self, path_id: int, *, now: Millis) -> None:
        """Note that nothing comes over a path."""
        path = self._paths.get(path_id)
        if path is not None:
            path.candidate = replace(path.candidate, loss=SILENT_LOSS, stable_since=now)

    def cool_down(self, path_id: int, *, until: Millis) -> None:
        """Leave a path out of discretionary choices for a while."""
        path = self._paths.get(path_id)
        if path is not None:
            path.candidate = replace(path.candidate, cooldown_until=until)

    def add_ids(self, ids: tuple[bytes, ...]) -> None:
        """Take over fresh lookup ids."""
        self._unused.extend(each for each in ids if each not in self._unused)

    def lookup_id(self, path: Path, *, reuse: bool) -> bytes | None:
        """Return the path's lookup id, giving it one if it has none.

        When none is left and `reuse` is allowed, that of a path that is gone serves again, else
        that of any other: being recognised is better than being locked out.
        """
        if path.lookup_id is None:
            if self._unused:
                path.lookup_id = self._unused.pop(0)
            elif self._left:
                path.lookup_id = self._left.pop(0)
            elif reuse:
                others = (each.lookup_id for each in self._paths.values())
                return next((each for each in others if each is not None), None)
        return path.lookup_id

    def probing(self, *, active: int | None, every: Millis) -> tuple[Bind, ...]:
        """Return the orders that bring every standby to this pace, and the active path to its own.

        The active path needs few: its heartbeats measure it, and a probe only keeps its address
        proven (60 s) for a jump onto itself.
        """
        orders: list[Bind] = []
        for path in self._paths.values():
            wanted = ACTIVE if path.id == active else every
            if path.probed_every == wanted:
                continue
            lookup_id = self.lookup_id(path, reuse=False)
            if lookup_id is None:
                continue
            path.probed_every = wanted
            orders.append(ProbePath(path=path.id, lookup_id=lookup_id, interval_us=wanted * 1000))
        return tuple(orders)

    def closing(self, closed: tuple[Path, ...]) -> tuple[Bind, ...]:
        """Return the orders that close paths."""
        return tuple(ClosePath(path=path.id) for path in closed)

    def _same(self, interface: str, endpoint: str) -> bool:
        return any(
            (path.candidate.transport.interface, path.candidate.transport.endpoint)
            == (interface, endpoint)
            for path in self._paths.values()
        )
