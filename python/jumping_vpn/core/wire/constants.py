"""The numbers of the control plane that both sides must agree on."""

from typing import Final

PROTOCOL_VERSION: Final = 1

MESSAGE_BYTES_MAX: Final = 1150
"""A control message fits a packet on every IPv6 path: 1280 less headers and sealing."""
REQUEST_BYTES_MAX: Final = 900
"""A request shares its packet with the native block and a receive report."""

SESSION_ID_BYTES: Final = 16
LOOKUP_ID_BYTES: Final = 16
CLIENT_KEY_BYTES: Final = 32
POLICY_HASH_BYTES: Final = 32

ADDRESSES_MAX: Final = 4
ENDPOINTS_MAX: Final = 8
LOOKUP_IDS_MAX: Final = 16
MOVES_MAX: Final = 8
ROUTES_MAX: Final = 16
NAME_SERVERS_MAX: Final = 4

LOOKUP_IDS_LOW: Final = 3
"""A client with fewer unused lookup ids asks for more with its next PATH_REPORT."""
