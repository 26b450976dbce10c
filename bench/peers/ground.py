"""The ground of a comparison without faults: two hosts on one cable of 1,500 bytes.

::

    client --cable0-- ~ --cable0-- gateway
"""

from pathlib import Path
from typing import Final

from bench.peers.peer import Ground

from jumping_vpn.lab.namespaces import Lab, cable

CABLE: Final = "cable0"
CLIENT_ADDRESS: Final = "198.51.100.2"
GATEWAY_ADDRESS: Final = "198.51.100.1"


def lay(lab: Lab, work: Path) -> Ground:
    """Make both hosts and join them."""
    client, gateway = lab.namespace("client"), lab.namespace("gateway")
    cable((client, CABLE), (gateway, CABLE))
    gateway.ip(f"address add {GATEWAY_ADDRESS}/24 dev {CABLE}")
    client.ip(
        f"address add {CLIENT_ADDRESS}/24 dev {CABLE}",
        f"route add default via {GATEWAY_ADDRESS} dev {CABLE}",
    )
    return Ground(client=client, gateway=gateway, gateway_address=GATEWAY_ADDRESS, work=work)
