"""OpenVPN over UDP, with TLS, AES-256-GCM and no kernel module."""

from typing import Final

from bench.peers.peer import Peer, first_line, program

PORT: Final = 1194
COMMON: Final = (
    *("--dev", "ovpn0", "--dev-type", "tun", "--topology", "subnet", "--disable-dco"),
    *("--data-ciphers", "AES-256-GCM", "--verb", "2"),
)
TUNED: Final = ("--ping", "1", "--ping-restart", "4")


class OpenVpn(Peer):
    """An OpenVPN server and a client that know each other's certificate."""

    name = "openvpn"

    @classmethod
    def version(cls) -> str | None:
        """Return the second word of what OpenVPN says of itself."""
        found = program("openvpn")
        return first_line(found, "--version").split()[1] if found else None

    def prepare(self) -> None:
        """Make a certificate for each end."""
        for end in ("client", "gateway"):
            self.ground.client.run(
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ),
                *("-nodes", "-days", "30", "-subj", f"/CN={end}"),
                *("-keyout", self._file(f"{end}.key"), "-out", self._file(f"{end}.crt")),
            )

    def start_gateway(self) -> None:
        """Start the server."""
        self.gateway_process = self.spawn(
            self.ground.gateway,
            *(program("openvpn") or "openvpn", *COMMON, *self._identity("gateway", "client")),
            *("--proto", "udp4", "--port", str(PORT), "--server", "10.78.0.0", "255.255.255.0"),
            *("--dh", "none", "--float", *(TUNED if self.tuned else ())),
            end="gateway",
        )

    def start_client(self) -> None:
        """Start the client."""
        self.client_process = self.spawn(
            self.ground.client,
            *(program("openvpn") or "openvpn", *COMMON, *self._identity("client", "gateway")),
            *("--client", "--nobind", "--proto", "udp4"),
            *("--remote", self.ground.gateway_address, str(PORT)),
            *("--connect-retry", "1", "1", *(TUNED if self.tuned else ())),
            end="client",
        )

    def _identity(self, own: str, other: str) -> tuple[str, ...]:
        certificate = ("--cert", self._file(f"{own}.crt"), "--key", self._file(f"{own}.key"))
        return (*certificate, "--peer-fingerprint", self._fingerprint(other))

    def _fingerprint(self, end: str) -> str:
        command = ("openssl", "x509", "-in", self._file(f"{end}.crt"), "-noout", "-fingerprint")
        return self.ground.client.run(*command, "-sha256").strip().partition("=")[2]

    def _file(self, name: str) -> str:
        return str(self.ground.work / name)
