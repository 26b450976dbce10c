"""wireguard-go, set up by its own `wg`: the fastest VPN in userspace before this one."""

import os
import subprocess
from pathlib import Path
from typing import Final

from bench.peers.peer import INNER_MTU, Ground, Peer, first_line, program

from jumping_vpn.lab.namespaces import Namespace

PORT: Final = 51820
SOCKETS: Final = Path("/var/run/wireguard")
OPEN_SECONDS_MAX: Final = 5.0


class WireGuardGo(Peer):
    """Two wireguard-go processes. It has no setting that detects a dead path."""

    name = "wireguard-go"

    def __init__(self, ground: Ground, *, tuned: bool = False) -> None:
        super().__init__(ground, tuned=tuned)
        # The sockets that `wg` speaks to lie in one directory for all namespaces.
        self._interfaces = {"client": f"wgc{os.getpid()}", "gateway": f"wgg{os.getpid()}"}

    @classmethod
    def version(cls) -> str | None:
        """Return what wireguard-go says of itself."""
        found = program("wireguard-go")
        if found is None or program("wg") is None:
            return None
        return first_line(found, "--version").removeprefix("wireguard-go ")

    def prepare(self) -> None:
        """Make both key pairs."""
        for end in self._interfaces:
            file = self.ground.work / end
            script = f"umask 077; wg genkey > {file}.key; wg pubkey < {file}.key > {file}.pub"
            self.ground.client.run("sh", "-ec", script)

    def start_gateway(self) -> None:
        """Start the gateway's end and give it its one peer."""
        self.gateway_process = self._start(self.ground.gateway, "gateway")
        self._set(self.ground.gateway, "gateway", "listen-port", str(PORT))
        self._join(self.ground.gateway, "gateway", self.gateway_inner, self.client_inner)

    def start_client(self) -> None:
        """Start the client's end and tell it where the gateway is."""
        self.client_process = self._start(self.ground.client, "client")
        self._join(
            *(self.ground.client, "client", self.client_inner, self.gateway_inner),
            *("endpoint", f"{self.ground.gateway_address}:{PORT}"),
        )

    def stop(self) -> None:
        """End both; a socket that a killed process left behind goes as well."""
        super().stop()
        for interface in self._interfaces.values():
            (SOCKETS / f"{interface}.sock").unlink(missing_ok=True)

    def _start(self, namespace: Namespace, end: str) -> subprocess.Popen[str]:
        interface = self._interfaces[end]
        socket = SOCKETS / f"{interface}.sock"
        socket.unlink(missing_ok=True)
        found = program("wireguard-go") or "wireguard-go"
        process = self.spawn(namespace, found, "--foreground", interface, end=end)
        self.wait_for(interface, socket.exists, seconds_max=OPEN_SECONDS_MAX)
        return process

    def _join(self, namespace: Namespace, end: str, own: str, other: str, *endpoint: str) -> None:
        interface = self._interfaces[end]
        opposite = "gateway" if end == "client" else "client"
        public = (self.ground.work / f"{opposite}.pub").read_text(encoding="ascii").strip()
        self._set(namespace, end, "private-key", str(self.ground.work / f"{end}.key"))
        self._set(namespace, end, "peer", public, "allowed-ips", f"{other}/32", *endpoint)
        namespace.ip(
            f"address add {own}/24 dev {interface}",
            f"link set {interface} mtu {INNER_MTU} up",
        )

    def _set(self, namespace: Namespace, end: str, *words: str) -> None:
        namespace.run("wg", "set", self._interfaces[end], *words)
