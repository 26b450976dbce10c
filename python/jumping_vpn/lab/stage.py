"""The product set up in the standard lab: a gateway, a client that is attached, and their paths."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jumping_vpn.lab import topology
from jumping_vpn.lab.namespaces import Lab
from jumping_vpn.lab.product import LabClient, LabGateway
from jumping_vpn.lab.topology import CABLE, WIFI, LabPath, PathPlan, Topology

ENDPOINT: Final = f"{topology.GATEWAY_V4}:{topology.GATEWAY_PORT}"
ENDPOINT_V6: Final = f"[{topology.GATEWAY_V6}]:{topology.GATEWAY_PORT}"
ATTACH_SECONDS_MAX: Final = 20.0


@dataclass(slots=True)
class Stage:
    """Everything a fault can touch."""

    topology: Topology
    gateway: LabGateway
    client: LabClient

    def active(self) -> LabPath:
        """Return the path that carries the session now."""
        status = self.client.status()
        if status is None or status.transport is None:
            return self.topology.paths[0]
        interface = status.transport.split("/")[1]
        return self.topology.path(interface)

    def other(self) -> LabPath:
        """Return the path that does not carry it."""
        active = self.active()
        return next(path for path in self.topology.paths if path is not active)


def prepare(
    lab: Lab,
    work: Path,
    *,
    plans: tuple[PathPlan, ...] = (WIFI, CABLE),
    endpoints: Iterable[str] = (ENDPOINT,),
) -> Stage:
    """Build the lab with a gateway's directory and one client's file; start neither."""
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    built = topology.build(lab, plans)
    gateway = LabGateway.make(
        built.gateway,
        work / "gateway",
        endpoints=endpoints,
        routes=(topology.LAN_NETWORK, topology.LAN_NETWORK_V6),
    )
    file = gateway.add_client("laptop", work / "laptop.toml")
    return Stage(built, gateway, LabClient.make(built.client, file, work / "client"))


def open_stage(
    lab: Lab,
    work: Path,
    *,
    plans: tuple[PathPlan, ...] = (WIFI, CABLE),
    endpoints: Iterable[str] = (ENDPOINT,),
) -> Stage:
    """Prepare, start both, and return once the session is attached and every path answers."""
    stage = prepare(lab, work, plans=plans, endpoints=endpoints)
    stage.gateway.start()
    stage.client.start()
    stage.client.wait_attached(answering=len(plans), seconds_max=ATTACH_SECONDS_MAX)
    return stage
