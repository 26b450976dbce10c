"""Jumping VPN: a session is the anchor, a transport is replaceable."""
