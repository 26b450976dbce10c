"""The demo as a program: it ends clean wherever it is interrupted, and says what it lacks."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jumping_vpn.lab import namespaces
from jumping_vpn.lab.account import Account, Counted, Lane, Passage
from jumping_vpn.lab.namespaces import LabRefused, require_root
from jumping_vpn.lab.probe import EchoWindow
from jumping_vpn.lab.product import wait_for
from jumping_vpn.lab.report import FaultRow, Outcome

DEMO = (sys.executable, "-m", "jumping_vpn.lab.demo", "--output")
RUN = Path("/run/jumping-vpn")
SECONDS_MAX = 40.0
MARK = "JVPN_TEST_RUN"
QUIET = {
    "entered": 0,
    "lost": 0,
    "duplicated": 0,
    "given_up": 0,
    "in_doubt": 0,
    "counted_but_arrived": 0,
    "sender_forgot": False,
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("until", ["building the lab", "fault: silent blackhole"])
def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, until: str, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    with log.open("w", encoding="utf-8") as printed:
        demo = start(tmp_path / "demo", printed.fileno())
    wait_for(until, lambda: until in log.read_text(encoding="utf-8"), seconds_max=SECONDS_MAX)

    demo.send_signal(number)

    assert demo.wait(SECONDS_MAX) == 130
    assert "interrupted" in log.read_text(encoding="utf-8")
    assert left_behind(demo, tmp_path) == []


def test_in_a_terminal_the_demo_shows_where_the_session_is(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    demo = start(tmp_path / "demo", slave)
    os.close(slave)

    seen = read_until(b"Mbit/s", master)
    demo.send_signal(signal.SIGINT)
    seen += read_until(b"interrupted", master)

    assert demo.wait(SECONDS_MAX) == 130
    os.close(master)
    assert b"ATTACHED" in seen
    assert left_behind(demo, tmp_path) == []


def test_a_tool_that_is_missing_is_named_with_what_to_install(tmp_path: Path) -> None:
    for tool in ("ip", "nft"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)

    done = subprocess.run(
        (*DEMO, str(tmp_path / "demo")),
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "demo: Missing tools. Run: apt-get install conntrack\n"


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces.os, "geteuid", lambda: 1000)

    with pytest.raises(LabRefused, match="needs root"):
        require_root()


def test_the_report_has_these_fields_and_no_others() -> None:
    row = FaultRow(
        fault="link down",
        cause="LINK_DOWN",
        source="udp/wifi0",
        target="udp/cable0",
        versions="2-4",
        detect_ms=1.5,
        gap_ms=20.5,
        account=Account(
            up=quiet_lane("up"),
            down=quiet_lane("down"),
            echo=EchoWindow(sent=9, lost=0, duplicated=0, gap_ms=20.5),
            unanswered=0,
        ),
        survived=True,
    )
    outcome = Outcome(
        session_id="ab",
        same_session=True,
        connections=1,
        sha256_ok=True,
        events=9,
        violations=0,
        rows=(row,),
    )

    assert json.loads(json.dumps(outcome.report())) == {
        "session_id": "ab",
        "tcp": {"connections": 1, "sha256_ok": True},
        "audit": {"violations": 0},
        "faults": [
            {
                "fault": "link down",
                "cause": "LINK_DOWN",
                "from": "udp/wifi0",
                "to": "udp/cable0",
                "versions": "2-4",
                "detect_ms": 1.5,
                "gap_ms": 20.5,
                "lost": 0,
                "duplicated": 0,
                "echo": {"lost": 0, "duplicated": 0, "unanswered": 0},
                "inner": {"up": QUIET, "down": QUIET},
                "agrees": True,
            }
        ],
    }


def quiet_lane(name: str) -> Lane:
    nothing = Passage(packets=(), duplicated=0)
    return Lane(name=name, seen=nothing, told=Counted(given_up=0, in_doubt=0), since_ns=0)


def start(output: Path, printed: int) -> "subprocess.Popen[bytes]":
    """Start the demo with a mark in its environment that everything it starts inherits."""
    return subprocess.Popen(
        (*DEMO, str(output)),
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=printed,
        env={**os.environ, MARK: str(output)},
        start_new_session=True,
    )


def read_until(text: bytes, terminal: int) -> bytes:
    """Return what a terminal shows up to this text."""
    seen = b""
    while text not in seen:
        ready, _, _ = select.select([terminal], [], [], SECONDS_MAX)
        assert ready, seen
        seen += os.read(terminal, 4096)
    return seen


def left_behind(demo: "subprocess.Popen[bytes]", work: Path) -> list[str]:
    """Return the namespaces, processes and announced sockets of a demo that has ended."""
    spaces = [path.name for path in Path("/run/netns").glob(f"jvd{demo.pid}-*")]
    sockets = [path.name for path in RUN.glob("*.sock") if work in path.readlink().parents]
    mark = f"{MARK}={work / 'demo'}".encode()
    processes = [
        path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if has(path, mark)
    ]
    return spaces + sockets + processes


def has(environment: Path, mark: bytes) -> bool:
    try:
        return mark in environment.read_bytes().split(b"\0")
    except OSError:
        return False
