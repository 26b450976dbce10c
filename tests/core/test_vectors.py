"""The key schedule as the protocol page states it, recomputed from the published vectors.

This is a second implementation, with nothing but the standard library: an integrator can read it
beside the page. Sealed packets need AES and X25519, so only their keys are recomputed here.
"""

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

FILE: Final = Path(__file__).parents[2] / "docs" / "reference" / "vectors.json"
COOKIE_PERIOD_US: Final = 120_000_000

Inputs = dict[str, Any]


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def expand(prk: bytes, *info: bytes) -> bytes:
    return mac(prk, *info, b"\x01")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def context(given: Inputs) -> bytes:
    return given["session_id"] + u64(given["epoch"]) + given["owner"].to_bytes(2, "big")


def handshake(given: Inputs) -> bytes:
    return mac(given["noise_hash"], given["noise_split"])


def jump(given: Inputs) -> bytes:
    return mac(given["root"], given["dh"], given["request_digest"], given["responder_ephemeral"])


def of_attempt(label: bytes) -> Callable[[Inputs], bytes]:
    return lambda given: expand(
        mac(bytes(32), given["root"]),
        label,
        given["session_id"],
        u64(given["attempt"]),
        given["client_ephemeral"],
    )


def of_binding(prk: Callable[[Inputs], bytes], label: bytes) -> Callable[[Inputs], bytes]:
    return lambda given: expand(prk(given), label, context(given))


def of_cluster(label: bytes) -> Callable[[Inputs], bytes]:
    return lambda given: expand(given["cluster_key"], label)


BINDING_LABELS: Final = ("root", "data c2g", "data g2c", "control c2g", "control g2c")

RECIPES: Final[dict[str, Callable[[Inputs], bytes]]] = {
    "handshake: session id": lambda given: expand(handshake(given), b"jvpn1 session id")[:16],
    **{f"handshake: {it}": of_binding(handshake, f"jvpn1 {it}".encode()) for it in BINDING_LABELS},
    **{f"jump: {it}": of_binding(jump, f"jvpn1 {it}".encode()) for it in BINDING_LABELS},
    "jump: response": lambda given: expand(
        jump(given), b"jvpn1 response", given["session_id"], u64(given["attempt"])
    ),
    "request key": of_attempt(b"jvpn1 request"),
    "early key": of_attempt(b"jvpn1 early"),
    "probe key": lambda given: expand(
        mac(given["salt"], given["root"]), b"jvpn1 probe", given["session_id"]
    ),
    "probe ack key": lambda given: expand(
        mac(given["salt"] + given["ack_salt"], given["root"]),
        b"jvpn1 probe ack",
        given["session_id"],
    ),
    "cluster: storage": of_cluster(b"jvpn1 cluster storage"),
    "cluster: lookup": of_cluster(b"jvpn1 cluster lookup"),
    "cluster: gone": of_cluster(b"jvpn1 cluster gone"),
    "client: storage": lambda given: expand(given["private_key"], b"jvpn1 client vault"),
    "reset key": lambda given: mac(given["node_secret"], b"jvpn1 reset", u64(given["index"])),
    "reset token": lambda given: mac(
        given["reset_key"], given["trigger"][:16], given["trigger"][-16:]
    )[:16],
    "gone key": lambda given: mac(given["gone_secret"], b"jvpn1 gone", u64(given["number"])),
    "gone token": lambda given: mac(given["gone_key"], given["request_digest"])[:16],
    "mac1": lambda given: mac(
        hashlib.sha256(b"jvpn1 mac1" + given["gateway_public"]).digest(), given["before"]
    )[:16],
    "cookie": lambda given: mac(
        given["jar_secret"],
        b"jvpn1 cookie",
        u64(given["now_us"] // COOKIE_PERIOD_US),
        given["address"],
        given["port"].to_bytes(2, "big"),
    )[:16],
}


def read_vectors() -> dict[str, tuple[Inputs, bytes]]:
    vectors = json.loads(FILE.read_text())["vectors"]
    return {
        vector["name"]: (
            {
                name: bytes.fromhex(value) if isinstance(value, str) else value
                for name, value in vector["inputs"].items()
            },
            bytes.fromhex(vector["output"]),
        )
        for vector in vectors
    }


@pytest.mark.parametrize("name", RECIPES)
def test_the_standard_library_computes_the_published_key(name: str) -> None:
    given, output = read_vectors()[name]

    assert RECIPES[name](given) == output
