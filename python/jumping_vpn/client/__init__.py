"""The client's shell: performs what the client role decides."""
