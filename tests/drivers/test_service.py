"""The shared small things: control socket, supervision, notification."""

import asyncio
import socket
import stat
from pathlib import Path

import msgspec
import pytest

from jumping_vpn.service.control import (
    Answer,
    ControlBroken,
    Declined,
    NotRunning,
    Request,
    ask,
    serving,
)
from jumping_vpn.service.crew import Crew, StopWish, first_error
from jumping_vpn.service.notify import Standing, notify


class Greeting(msgspec.Struct, frozen=True):
    text: str


async def greet(request: Request) -> Greeting | Declined:
    if request.command != "greet":
        return Declined(reason="UNKNOWN_COMMAND", text=f"no command {request.command!r}")
    return Greeting(text=f"hello {request.argument}")


def test_a_command_is_answered_with_its_typed_result(tmp_path: Path) -> None:
    answer = served(tmp_path / "control.sock", Request(command="greet", argument="you"))

    assert answer == Greeting(text="hello you")


def test_what_the_service_declines_reaches_the_asker_with_its_reason(tmp_path: Path) -> None:
    answer = served(tmp_path / "control.sock", Request(command="dance"))

    assert answer == Declined(reason="UNKNOWN_COMMAND", text="no command 'dance'")


def test_a_malformed_line_is_declined_and_the_next_connection_is_served(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def run() -> tuple[bytes, Greeting | Declined]:
        async with serving(path, greet):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"{not json\n")
            line = await reader.readline()
            writer.close()
            return line, await asyncio.to_thread(
                ask, path, Request(command="greet", argument="again"), Greeting, seconds_max=5
            )

    line, greeting = asyncio.run(run())

    declined = msgspec.json.decode(line, type=Answer).declined
    assert declined is not None
    assert declined.reason == "MALFORMED"
    assert greeting == Greeting(text="hello again")


def test_a_line_without_an_end_is_dropped_at_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def run() -> bytes:
        async with serving(path, greet):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"x" * 200_000)
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""
            finally:
                writer.close()

    assert asyncio.run(run()) == b""


def test_only_the_owner_may_connect_and_the_socket_goes_with_the_service(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def run() -> int:
        async with serving(path, greet):
            return stat.S_IMODE(path.stat().st_mode)

    assert asyncio.run(run()) == 0o600
    assert not path.exists()


def test_a_socket_left_by_a_killed_run_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    assert served(path, Request(command="greet")) == Greeting(text="hello ")


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("precious")

    with pytest.raises(FileExistsError, match="is no socket"):
        served(path, Request(command="greet"))

    assert path.read_text() == "precious"


def test_a_deep_directory_does_not_exceed_the_length_of_a_socket_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)

    assert served(deep / "control.sock", Request(command="greet")) == Greeting(text="hello ")


def test_asking_where_nothing_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="nothing answers at"):
        ask(tmp_path / "control.sock", Request(command="greet"), Greeting, seconds_max=1)


def test_an_answer_of_another_shape_is_refused(tmp_path: Path) -> None:
    class Other(msgspec.Struct):
        number: int

    with pytest.raises(ControlBroken, match="what is no answer"):
        served(tmp_path / "control.sock", Request(command="greet"), Other)


def test_who_asks_the_service_to_stop_still_hears_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    stop = StopWish()

    async def stopping(request: Request) -> Greeting:
        stop.wish(request.command)
        return Greeting(text="bye")

    async def run() -> Greeting | Declined:
        async with serving(path, stopping):
            asking = asyncio.create_task(
                asyncio.to_thread(ask, path, Request(command="down"), Greeting, seconds_max=5)
            )
            await stop.wait()
        return await asking

    assert asyncio.run(run()) == Greeting(text="bye")
    assert stop.cause == "down"


def test_the_first_wish_to_stop_keeps_its_cause() -> None:
    async def run() -> str:
        stop = StopWish()
        stop.wish("SIGTERM")
        stop.wish("SIGINT")
        return await stop.wait()

    assert asyncio.run(run()) == "SIGTERM"


def test_a_crew_ends_together() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def run() -> None:
        async with Crew() as crew:
            crew.hire("first", work("first"))
            crew.hire("second", work("second"))
            await asyncio.sleep(0)

    asyncio.run(run())

    assert ended == ["first", "second"]


def test_one_failing_task_takes_the_crew_down_with_its_error() -> None:
    async def idle() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise LookupError("broken part")

    async def run() -> None:
        async with Crew() as crew:
            crew.hire("good", idle())
            crew.hire("bad", fail())
            await idle()

    with pytest.raises(LookupError, match="broken part"), first_error():
        asyncio.run(run())


def test_the_service_manager_hears_the_standing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify.sock"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))

        taken = notify(Standing.READY, status="3 sessions\nheld")
        heard = manager.recv(4096)

    assert taken
    assert heard == b"READY=1\nSTATUS=3 sessions held"


def test_without_a_service_manager_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    assert not notify(Standing.READY)


def served(
    path: Path, request: Request, result: type[msgspec.Struct] = Greeting
) -> msgspec.Struct | Declined:
    async def run() -> msgspec.Struct | Declined:
        async with serving(path, greet):
            return await asyncio.to_thread(ask, path, request, result, seconds_max=5)

    with first_error():
        return asyncio.run(run())
