"""The Python face of the Rust core: orders down, facts up, secrets never."""
