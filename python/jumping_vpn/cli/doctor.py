"""`jvpn doctor`: what this machine lacks for a gateway or a client, and how to get it."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import click

from jumping_vpn.cli.failures import ExitCode, can_change_network
from jumping_vpn.cli.lazy import examples

KERNEL_MIN: Final = (4, 18)
PYTHON_MIN: Final = (3, 11)
TUN: Final = Path("/dev/net/tun")
TOOL_SECONDS_MAX: Final = 5


class Standing(StrEnum):
    """What a check found."""

    FINE = "fine"
    ADVICE = "advice"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `cure` is what to run or do where it is not fine."""

    what: str
    standing: Standing
    found: str
    cure: str = ""


@click.command(epilog=examples("jvpn doctor", "sudo jvpn doctor", "jvpn doctor --json"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per finding.")
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Say what this machine lacks for a gateway or a client, and how to get it.

    Exits with 1 when something is missing. Without root, what only root can try is not tried.
    """
    findings = [finding for check in CHECKS for finding in check()]
    for finding in findings:
        click.echo(json.dumps(asdict(finding)) if as_json else _line(finding))
    if any(finding.standing is Standing.MISSING for finding in findings):
        ctx.exit(ExitCode.FAILURE)


def check_python() -> Iterator[Finding]:
    """Look at the interpreter and at the built extension."""
    fits = sys.version_info[:2] >= PYTHON_MIN
    yield _finding("Python 3.11", fits, platform.python_version(), "install Python 3.11 or newer")
    try:
        import jumping_vpn._native  # noqa: F401

        built = "built"
    except ImportError as error:
        built = str(error)
    yield _finding("data plane", built == "built", built, "maturin develop --release")


def check_kernel() -> Iterator[Finding]:
    """Look at what the kernel offers."""
    release = platform.release()
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2])
    yield _finding("kernel 4.18", version >= KERNEL_MIN, release, "update the kernel")

    found = "openable" if os.access(TUN, os.R_OK | os.W_OK) else "not openable"
    yield _finding(
        "TUN device",
        TUN.exists() and (found == "openable" or os.geteuid() != 0),
        found if TUN.exists() else f"no {TUN}",
        f"modprobe tun; in a container: give it {TUN}",
    )
    ipv6 = Path("/proc/sys/net/ipv6").is_dir()
    yield Finding(
        what="IPv6",
        standing=Standing.FINE if ipv6 else Standing.ADVICE,
        found="present" if ipv6 else "switched off; the tunnel carries IPv4 only",
        cure="" if ipv6 else "start the kernel without ipv6.disable=1",
    )


def check_tools() -> Iterator[Finding]:
    """Look for the tools that set the network up, and try what they need of the kernel."""
    from jumping_vpn.system.kernel import PACKAGES, missing_tools

    for tool, purpose in (("ip", "client and gateway"), ("nft", "gateway")):
        missing = missing_tools([tool])
        found = f"for {purpose}: " + ("missing" if missing else "present")
        yield _finding(f"`{tool}`", not missing, found, f"apt-get install {PACKAGES[tool]}")


def check_privileges() -> Iterator[Finding]:
    """Look at what this process may do, and try the features that only root can try."""
    if not can_change_network():
        yield Finding(
            what="root",
            standing=Standing.ADVICE,
            found="not root: `jvpn up` and `jvpn gateway run` will refuse",
            cure="sudo jvpn doctor",
        )
        return
    yield Finding(what="root", standing=Standing.FINE, found="CAP_NET_ADMIN")
    for what, command, cure in TRIALS:
        trouble = _trouble(command)
        yield _finding(what, not trouble, trouble or "answers", cure)


def check_reverse_path() -> Iterator[Finding]:
    """Look for interfaces that would drop answers which the main table would route elsewhere."""
    from jumping_vpn.system.kernel import read_sysctl, sysctls

    every = read_sysctl("net/ipv4/conf/all/rp_filter") or "0"
    for name in sysctls("net/ipv4/conf/*/rp_filter"):
        interface = Path(name).parent.name
        if interface in {"all", "default", "lo"}:
            continue
        if max(every, read_sysctl(name) or "0") == "1":
            yield Finding(
                what=f"rp_filter of {interface}",
                standing=Standing.ADVICE,
                found="strict: with several uplinks, or a default route in the tunnel, "
                "answers on it are dropped",
                cure=f"sysctl -w net.ipv4.conf.{interface}.rp_filter=2",
            )


def check_other_filters() -> Iterator[Finding]:
    """Look for packet filters of others that drop what a gateway would forward."""
    if not can_change_network():
        return
    listed = _output(("nft", "-j", "list", "chains"))
    for item in json.loads(listed or "{}").get("nftables", []):
        chain = item.get("chain", {})
        if chain.get("hook") == "forward" and chain.get("policy") == "drop":
            name = f"{chain['family']} {chain['table']} {chain['name']}"
            yield Finding(
                what="packet filter",
                standing=Standing.ADVICE,
                found=f"chain {name} drops what is forwarded, unless a rule of it accepts",
                cure=f"for a gateway: nft insert rule {name} iifname jvpn-gw0 accept; "
                f"nft insert rule {name} oifname jvpn-gw0 accept",
            )


TRIALS: Final = (
    ("nftables", ("nft", "list", "tables"), "modprobe nf_tables"),
    ("policy rules", ("ip", "rule", "show"), "a kernel with CONFIG_IP_MULTIPLE_TABLES"),
    ("network namespaces (lab, demo)", ("unshare", "--net", "true"), "a kernel with CONFIG_NET_NS"),
)
CHECKS: Final[tuple[Callable[[], Iterator[Finding]], ...]] = (
    check_python,
    check_kernel,
    check_tools,
    check_privileges,
    check_reverse_path,
    check_other_filters,
)


def _finding(what: str, fine: bool, found: str, cure: str) -> Finding:  # noqa: FBT001 - a row
    standing = Standing.FINE if fine else Standing.MISSING
    return Finding(what=what, standing=standing, found=found, cure="" if fine else cure)


def _output(command: tuple[str, ...]) -> str:
    """Return what a command prints, or nothing where it does not work."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TOOL_SECONDS_MAX, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _trouble(command: tuple[str, ...]) -> str:
    """Return why a command does not work here, or nothing."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TOOL_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"


def _line(finding: Finding) -> str:
    colour = {Standing.FINE: "green", Standing.ADVICE: "yellow", Standing.MISSING: "red"}
    mark = click.style(f"{finding.standing:<8}", fg=colour[finding.standing])
    cure = f"\n{'':9}-> {finding.cure}" if finding.cure else ""
    return f"{mark} {finding.what}: {finding.found}{cure}"
