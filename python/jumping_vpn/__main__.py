"""`python -m jumping_vpn` is `jvpn`."""

from jumping_vpn.cli.main import main

if __name__ == "__main__":
    main()
