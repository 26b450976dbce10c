"""The control socket: how `jvpn status`, `jump`, `down` and `sessions` speak to a running service.

One JSON line asks, one JSON line answers, over a Unix socket of mode 0600. Each side reads the
other's credentials from the kernel and speaks only to root and to its own user. Requests, answers,
connections and waiting times are bounded, so that a stuck client costs nothing but its connection.
"""

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import msgspec

LINE_MAX: Final = 64 * 1024
ANSWER_MAX: Final = 16 * 1024 * 1024
CONNECTIONS_MAX: Final = 16
READING_SECONDS_MAX: Final = 5.0
CLOSING_SECONDS_MAX: Final = 2.0
ADDRESS_MAX: Final = 107

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command asks of the running service."""

    command: str
    argument: str = ""


class Declined(msgspec.Struct, frozen=True, kw_only=True):
    """The service understood and did not do it."""

    reason: str
    text: str


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes back over the wire: a result or why there is none."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    declined: Declined | None = None


Handler: TypeAlias = Callable[[Request], Awaitable[msgspec.Struct | Declined]]


class ControlError(Exception):
    """The running service could not be asked: the root of `NotRunning` and `ControlBroken`."""


class NotRunning(ControlError):
    """Nothing listens on the control socket."""


class ControlBroken(ControlError):
    """Something listens, and it did not answer as the service would."""


@asynccontextmanager
async def serving(path: Path, handler: Handler) -> AsyncIterator[None]:
    """Answer on the control socket at `path` for as long as the context lasts.

    A socket that an earlier run left behind is replaced: whoever calls holds the directory's lock.
    """
    listener = _listen(path)
    slots = asyncio.Semaphore(CONNECTIONS_MAX)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, TimeoutError):
            async with slots:
                await _serve(reader, writer, handler)

    async with asyncio.TaskGroup() as connections:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            under_way.add(task := connections.create_task(serve(reader, writer)))
            task.add_done_callback(under_way.discard)

        under_way: set[asyncio.Task[None]] = set()
        server = await asyncio.start_unix_server(accept, sock=listener, limit=LINE_MAX)
        try:
            yield
        finally:
            _retire(path, server)
            if under_way:
                # Who asked the service to stop still hears that it does.
                await asyncio.wait(under_way, timeout=CLOSING_SECONDS_MAX)
            for task in under_way:
                task.cancel()


def ask(path: Path, request: Request, result: type[T], *, seconds_max: float) -> T | Declined:
    """Ask the service behind `path` and return its typed answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as channel:
        channel.settimeout(seconds_max)
        try:
            with _address(path) as address:
                channel.connect(address)
        except OSError as error:
            raise NotRunning(f"nothing answers at {path}: {error.strerror or error}") from error
        if not _trusted(channel):
            raise ControlBroken(f"{path} is served by another user")
        try:
            channel.sendall(msgspec.json.encode(request) + b"\n")
            line = _read_line(channel)
        except OSError as error:
            raise ControlBroken(f"no answer from {path}: {error.strerror or error}") from error
    try:
        answer = msgspec.json.decode(line, type=Answer)
        return answer.declined or msgspec.json.decode(answer.result, type=result)
    except msgspec.DecodeError as error:
        raise ControlBroken(f"{path} answered what is no answer: {error}") from error


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    channel = writer.get_extra_info("socket")
    if not _trusted(channel):
        return
    async with asyncio.timeout(READING_SECONDS_MAX):
        try:
            line = await reader.readline()
        except ValueError:
            return
    if not line:
        return

    writer.write(msgspec.json.encode(await _answer(line, handler)) + b"\n")
    async with asyncio.timeout(READING_SECONDS_MAX):
        await writer.drain()


async def _answer(line: bytes, handler: Handler) -> Answer:
    try:
        request = msgspec.json.decode(line, type=Request)
    except msgspec.DecodeError as error:
        return Answer(declined=Declined(reason="MALFORMED", text=str(error)))

    outcome = await handler(request)
    if isinstance(outcome, Declined):
        return Answer(declined=outcome)
    return Answer(result=msgspec.Raw(msgspec.json.encode(outcome)))


def _retire(path: Path, server: asyncio.Server) -> None:
    path.unlink(missing_ok=True)
    server.close()


def _listen(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} is in the way and is no socket")
        path.unlink()

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # The mode of the inode before bind() decides; there is no moment at which others could connect.
    os.fchmod(listener.fileno(), 0o600)
    with _address(path) as address:
        listener.bind(address)
    path.chmod(0o600)
    listener.listen(CONNECTIONS_MAX)
    listener.settimeout(0)
    return listener


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Yield an address that fits a socket address, however deep the directory lies."""
    if len(os.fsencode(path)) <= ADDRESS_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _trusted(channel: socket.socket) -> bool:
    """Return whether root or our own user is at the other end."""
    credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return user in {0, os.geteuid()}


def _read_line(channel: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        part = channel.recv(64 * 1024)
        if not part or len(received) + len(part) > ANSWER_MAX:
            break
        received += part
    return bytes(received)
