"""tinc 1.0, in router mode over UDP."""

import subprocess
from pathlib import Path
from typing import Final

from bench.peers.peer import Peer, first_line, program

from jumping_vpn.lab.namespaces import Namespace

TUNED: Final = "PingInterval = 1\nPingTimeout = 1\nMaxTimeout = 1\n"
KEY_BITS: Final = "2048"


class Tinc(Peer):
    """Two tinc daemons; the client's connects to the gateway's."""

    name = "tinc"

    @classmethod
    def version(cls) -> str | None:
        """Return the third word of what tincd says of itself."""
        found = program("tincd")
        return first_line(found, "--version").split()[2] if found else None

    def prepare(self) -> None:
        """Make each daemon's directory, its key, and what it knows of the other."""
        for end in ("client", "gateway"):
            directory = self._directory(end)
            (directory / "hosts").mkdir(parents=True)
            config = f"Name = {end}\nAddressFamily = ipv4\nInterface = tinc-{end[0]}\n"
            config += "ConnectTo = gateway\n" if end == "client" else ""
            (directory / "tinc.conf").write_text(config + (TUNED if self.tuned else ""))
            own = self.client_inner if end == "client" else self.gateway_inner
            address = "" if end == "client" else f"Address = {self.ground.gateway_address}\n"
            (directory / "hosts" / end).write_text(f"{address}Subnet = {own}/32\n")
            script = directory / "tinc-up"
            script.write_text(
                f'#!/bin/sh\nip link set "$INTERFACE" up\n'
                f'ip address add {own}/24 dev "$INTERFACE"\n'
            )
            script.chmod(0o755)
            make_key = f"{' '.join(self._command(end))} --generate-keys={KEY_BITS} < /dev/null"
            self.ground.client.run("sh", "-ec", make_key)
        for end, other in (("client", "gateway"), ("gateway", "client")):
            known = (self._directory(end) / "hosts" / end).read_text()
            (self._directory(other) / "hosts" / end).write_text(known)

    def start_gateway(self) -> None:
        """Start the gateway's daemon."""
        self.gateway_process = self._start(self.ground.gateway, "gateway")

    def start_client(self) -> None:
        """Start the client's daemon."""
        self.client_process = self._start(self.ground.client, "client")

    def _start(self, namespace: Namespace, end: str) -> subprocess.Popen[str]:
        pid_file = self.ground.work / f"{end}.pid"
        command = (*self._command(end), f"--pidfile={pid_file}", "--no-detach")
        return self.spawn(namespace, *command, end=end)

    def _command(self, end: str) -> tuple[str, ...]:
        return (program("tincd") or "tincd", f"--config={self._directory(end)}")

    def _directory(self, end: str) -> Path:
        return self.ground.work / end
