"""Where sessions outlive their process: the contract, and the stores that keep it."""
