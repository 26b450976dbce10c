"""Jumping VPN: a session is the anchor, a transport is replaceable."""

__version__ = "0.1.0"
