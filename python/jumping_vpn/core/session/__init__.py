"""The session: what it is, what may happen to it, and the one machine that moves it."""
