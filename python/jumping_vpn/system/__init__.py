"""What the machine beneath us is asked for: configuration files, sysctls, `ip` and `nft`."""
