"""The pure core: it decides, and performs nothing. No I/O, clock, entropy, threads or logging."""
