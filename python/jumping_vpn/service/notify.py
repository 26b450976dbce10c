"""Tells the service manager (systemd's notification protocol) where the service stands.

Without `NOTIFY_SOCKET` in the environment nothing is sent. A manager that does not read is no
reason to wait: a message that does not fit is given up.
"""

import os
import socket
from enum import StrEnum


class Standing(StrEnum):
    """What a service tells its manager."""

    READY = "READY=1"
    STOPPING = "STOPPING=1"
    ALIVE = "WATCHDOG=1"


def notify(standing: Standing, *, status: str = "") -> bool:
    """Send the standing and a line of status; return whether a manager took it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False

    name = "\0" + address[1:] if address.startswith("@") else address
    text = f"{standing}\nSTATUS={' '.join(status.split())}" if status else str(standing)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.settimeout(0)
        try:
            channel.sendto(text.encode(), name)
        except OSError:
            return False
    return True
