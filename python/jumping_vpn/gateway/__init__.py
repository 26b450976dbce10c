"""The gateway's shell: performs what the gateway role decides."""
