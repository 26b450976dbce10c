"""Name servers that hold while the tunnel is up, set through whichever manager this machine has.

systemd-resolved keeps them with the interface and forgets them with it; resolvconf is told at the
end. Where neither is present, the machine's own name servers stay: files that others own are not
edited behind their back.
"""

from collections.abc import Sequence
from enum import StrEnum

from jumping_vpn.system import kernel
from jumping_vpn.system.kernel import Batch


class Resolver(StrEnum):
    """Who manages name servers here."""

    RESOLVED = "resolvectl"
    RESOLVCONF = "resolvconf"


def chosen() -> Resolver | None:
    """Return the manager of this machine, None where there is none."""
    if kernel.succeeds(Resolver.RESOLVED, "status"):
        return Resolver.RESOLVED
    if not kernel.missing_tools([Resolver.RESOLVCONF]):
        return Resolver.RESOLVCONF
    return None


def additions(resolver: Resolver, interface: str, servers: Sequence[str]) -> tuple[Batch, ...]:
    """Return what makes `servers` answer every name while the interface is there."""
    if resolver is Resolver.RESOLVED:
        return (
            Batch(command=("resolvectl", "dns", interface, *servers)),
            Batch(command=("resolvectl", "domain", interface, "~.")),
        )
    script = "".join(f"nameserver {server}\n" for server in servers)
    return (Batch(command=("resolvconf", "-a", interface, "-m", "0", "-x"), script=script),)


def removals(resolver: Resolver, interface: str) -> tuple[Batch, ...]:
    """Return what puts the machine's own name servers back."""
    if resolver is Resolver.RESOLVED:
        return (Batch(command=("resolvectl", "revert", interface)),)
    return (Batch(command=("resolvconf", "-d", interface)),)
