"""nebula, whose gateway is the lighthouse as well."""

import json
from typing import Any, Final

from bench.peers.peer import INNER_MTU, Peer, first_line, program

PORT: Final = 4242
ANYONE: Final = {"port": "any", "proto": "any", "host": "any"}


class Nebula(Peer):
    """Two nebula hosts of one authority."""

    name = "nebula"

    @classmethod
    def version(cls) -> str | None:
        """Return what nebula says of itself."""
        found = program("nebula")
        return first_line(found, "-version").removeprefix("Version: ") if found else None

    def prepare(self) -> None:
        """Make the authority, a certificate for each end and their configuration."""
        tool = program("nebula-cert") or "nebula-cert"
        authority = ("-out-crt", self._file("ca.crt"), "-out-key", self._file("ca.key"))
        self.ground.client.run(tool, "ca", "-name", "bench", *authority)
        signer = ("-ca-crt", self._file("ca.crt"), "-ca-key", self._file("ca.key"))
        for end, address in (("client", self.client_inner), ("gateway", self.gateway_inner)):
            kept = ("-out-crt", self._file(f"{end}.crt"), "-out-key", self._file(f"{end}.key"))
            self.ground.client.run(
                tool, "sign", *signer, *kept, "-name", end, "-ip", f"{address}/24"
            )
            # JSON is YAML.
            (self.ground.work / f"{end}.yml").write_text(json.dumps(self._config(end)))

    def start_gateway(self) -> None:
        """Start the lighthouse."""
        self.gateway_process = self.spawn(
            self.ground.gateway, *self._command("gateway"), end="gateway"
        )

    def start_client(self) -> None:
        """Start the other host."""
        self.client_process = self.spawn(self.ground.client, *self._command("client"), end="client")

    def _command(self, end: str) -> tuple[str, ...]:
        return (program("nebula") or "nebula", "-config", self._file(f"{end}.yml"))

    def _config(self, end: str) -> dict[str, Any]:
        is_gateway = end == "gateway"
        return {
            "pki": {
                "ca": self._file("ca.crt"),
                "cert": self._file(f"{end}.crt"),
                "key": self._file(f"{end}.key"),
            },
            "static_host_map": {self.gateway_inner: [f"{self.ground.gateway_address}:{PORT}"]},
            "lighthouse": {
                "am_lighthouse": is_gateway,
                "hosts": [] if is_gateway else [self.gateway_inner],
            },
            "listen": {"host": "0.0.0.0", "port": PORT if is_gateway else 0},  # noqa: S104  all the host has
            "tun": {"dev": f"nebula-{end[0]}", "mtu": INNER_MTU},
            "logging": {"level": "warning"},
            "firewall": {"outbound": [ANYONE], "inbound": [ANYONE]},
        }

    def _file(self, name: str) -> str:
        return str(self.ground.work / name)
