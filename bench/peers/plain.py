"""What bounds every VPN here: the same cable with none, and a tunnel that only forwards."""

import platform
import subprocess
from pathlib import Path
from typing import ClassVar, Final

from bench.peers.peer import INNER_MTU, Peer

from jumping_vpn.lab.namespaces import Namespace

EXAMPLES: Final = Path(__file__).parents[2] / "target" / "release" / "examples"
PORT: Final = 5555
NETWORK_BITS: Final = 24
OFFLOADS: Final = ("tso", "gso", "gro", "tx", "tx-udp-segmentation")
OPEN_SECONDS_MAX: Final = 5.0


class Plain(Peer):
    """No VPN: the inner addresses lie on the cable itself."""

    name = "plain veth"
    offloads: ClassVar[bool] = True

    @classmethod
    def version(cls) -> str | None:
        """Return the kernel's version: it does all of the work."""
        return platform.release()

    def prepare(self) -> None:
        """Take the offloads away from both ends, where that is asked for."""
        if not self.offloads:
            switches = [word for each in OFFLOADS for word in (each, "off")]
            for namespace in (self.ground.client, self.ground.gateway):
                namespace.run("ethtool", "-K", interface_of(namespace), *switches)

    def start_gateway(self) -> None:
        """Put the gateway's inner address on the cable."""
        _own(self.ground.gateway, interface_of(self.ground.gateway), self.gateway_inner)

    def start_client(self) -> None:
        """Put the client's inner address on the cable."""
        _own(self.ground.client, interface_of(self.ground.client), self.client_inner)


class PlainWithoutOffloads(Plain):
    """The same cable, where every packet is one packet."""

    name = "plain veth (no offloads)"
    offloads = False


class PlainTunnel(Peer):
    """A TUN on each side and a thread for each direction: no cryptography, no batches."""

    name = "plain tunnel"

    @classmethod
    def version(cls) -> str | None:
        """Return the kernel's version where the forwarder is built."""
        return platform.release() if (EXAMPLES / "plain_tunnel").exists() else None

    def prepare(self) -> None:
        """Nothing: it has neither keys nor files."""

    def start_gateway(self) -> None:
        """Start the end that learns the other's address from its first packet."""
        listen = ("listen", f"{self.ground.gateway_address}:{PORT}")
        self.gateway_process = self._start(self.ground.gateway, self.gateway_inner, *listen)

    def start_client(self) -> None:
        """Start the end that knows where the other is."""
        connect = ("connect", f"{self.ground.gateway_address}:{PORT}")
        self.client_process = self._start(self.ground.client, self.client_inner, *connect)

    def _start(self, namespace: Namespace, own: str, *ends: str) -> "subprocess.Popen[str]":
        end = "client" if own == self.client_inner else "gateway"
        interface = f"plain-{end[0]}"
        command = (str(EXAMPLES / "plain_tunnel"), interface, str(INNER_MTU), *ends)
        process = self.spawn(namespace, *command, end=end)
        self.wait_for(
            interface,
            lambda: f" {interface}: " in namespace.run("ip", "-o", "link"),
            seconds_max=OPEN_SECONDS_MAX,
        )
        _own(namespace, interface, own)
        return process


def interface_of(namespace: Namespace) -> str:
    """Return the one interface of a host beside its loopback."""
    lines = namespace.run("ip", "-o", "link", "show", "type", "veth").splitlines()
    return lines[0].split()[1].partition("@")[0].rstrip(":")


def _own(namespace: Namespace, interface: str, address: str) -> None:
    namespace.ip(
        f"address add {address}/{NETWORK_BITS} dev {interface}", f"link set {interface} up"
    )
