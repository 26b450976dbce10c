"""The product, by its own commands; and builds and policies of it that only the benchmark has."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar, Final

from bench.peers.peer import Ground, Peer, PeerFailed

from jumping_vpn import __version__
from jumping_vpn.lab.namespaces import LabRefused, Namespace
from jumping_vpn.lab.product import LabClient, LabGateway

PORT: Final = 4789
GATEWAY_INNER: Final = "10.77.0.1"
ATTACH_SECONDS_MAX: Final = 20.0
NULL_CIPHER: Final = Path(__file__).parents[2] / "build" / "null-cipher"
"""Where `make bench` puts a copy of the package whose data plane does not encrypt."""


class Jump(Peer):
    """A gateway and a client of this working tree, with the default policy."""

    name = "jumping-vpn"
    gateway_inner = GATEWAY_INNER
    policy: ClassVar[str] = ""
    """Lines for the `[policy]` table of the gateway."""
    package: ClassVar[Path | None] = None
    """A directory with another build of the package; None: the one that is installed."""

    def __init__(self, ground: Ground, *, tuned: bool = False) -> None:
        super().__init__(ground, tuned=tuned)
        self._gateway: LabGateway | None = None
        self._client: LabClient | None = None

    @classmethod
    def version(cls) -> str | None:
        """Return the version of the package."""
        return __version__

    @property
    def gateway(self) -> LabGateway:
        """The gateway, once it is prepared."""
        if self._gateway is None:
            raise PeerFailed(f"{self.name} is not prepared")
        return self._gateway

    @property
    def client(self) -> LabClient:
        """The client, once it is prepared."""
        if self._client is None:
            raise PeerFailed(f"{self.name} is not prepared")
        return self._client

    def prepare(self) -> None:
        """Initialise the gateway's directory and let one client in."""
        ground = self.ground
        endpoint = f"{ground.gateway_address}:{PORT}"
        self._gateway = LabGateway.make(
            ground.gateway, ground.work / "gateway", endpoints=(endpoint,), routes=()
        )
        if self.policy:
            with (ground.work / "gateway" / "gateway.toml").open("a") as config:
                config.write(f"\n[policy]\n{self.policy}")
        file = self._gateway.add_client("laptop", ground.work / "laptop.toml")
        self._client = LabClient.make(ground.client, file, ground.work / "state")

    def start_gateway(self) -> None:
        """`jvpn gateway run`."""
        command = ("gateway", "run", str(self.gateway.directory))
        self.gateway_process = self._start(self.ground.gateway, *command, end="gateway")
        self.gateway.process = self.gateway_process

    def start_client(self) -> None:
        """`jvpn up`."""
        command = ("up", str(self.client.file), "--state-dir", str(self.client.state))
        self.client_process = self._start(self.ground.client, *command, end="client")
        self.client.process = self.client_process

    def wait_up(self, *, seconds_max: float = ATTACH_SECONDS_MAX) -> None:
        """Wait until the session is attached, and learn the client's inner address."""
        try:
            status = self.client.wait_attached(answering=1, seconds_max=seconds_max)
        except LabRefused as error:
            raise PeerFailed(str(error)) from error
        self.client_inner = next(each for each in status.addresses if ":" not in each).split("/")[0]
        super().wait_up(seconds_max=seconds_max)

    def _start(self, namespace: Namespace, *command: str, end: str) -> subprocess.Popen[str]:
        environment = {"PYTHONPATH": str(self.package)} if self.package is not None else {}
        program = (sys.executable, "-m", "jumping_vpn")
        return self.spawn(namespace, *program, *command, end=end, environment=environment)


class JumpWithoutRetention(Jump):
    """The product under a policy that keeps nothing for a jump."""

    name = "jumping-vpn (no retention)"
    policy = "retain_time = 0\nretain_bytes = 0\n"


class JumpWithoutCipher(Jump):
    """A build for the benchmark whose data plane marks packets instead of encrypting them."""

    name = "jumping-vpn (no cipher)"
    package = NULL_CIPHER

    @classmethod
    def version(cls) -> str | None:
        """Return the version of the package where the build is there."""
        is_built = any((NULL_CIPHER / "jumping_vpn").glob("_null_cipher*.so"))
        return __version__ if is_built else None
