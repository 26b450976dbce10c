"""Key files: made and read by the Rust core, so that no secret ever becomes a Python object."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from jumping_vpn._native import Keys
from jumping_vpn._native import write_client_config as _write_client_config
from jumping_vpn.system.settings import ConfigError, ExposedFile

T = TypeVar("T")

GATEWAY_FILES = ("gateway.key", "node.key", "cluster.key")


def create_gateway_keys(directory: Path) -> bytes:
    """Create the key files of a gateway and return its public key; ConfigError if one is there."""
    try:
        return Keys.create_gateway(str(directory)).public()
    except FileExistsError as error:
        raise ConfigError(f"{directory} holds keys already; nothing was changed") from error


def load_gateway_keys(directory: Path) -> Keys:
    """Return the keys of a gateway."""
    for name in GATEWAY_FILES:
        _check_exists(directory / name, "jvpn gateway init makes it")
    return _load(lambda: Keys.load_gateway(str(directory)))


def load_client_keys(path: Path) -> tuple[Keys, str]:
    """Return a client's keys, and the text of its configuration with the private key blanked."""
    _check_exists(path, "jvpn gateway add-client makes it")
    return _load(lambda: Keys.load_client(str(path)))


def gateway_public_key(directory: Path) -> bytes:
    """Return the public key of a gateway."""
    return load_gateway_keys(directory).public()


def write_client_config(descriptor: int, template: str) -> bytes:
    """Write the template with a new key in place of `@PRIVATE_KEY@`; return its public half."""
    return _write_client_config(descriptor, template)


def _check_exists(path: Path, hint: str) -> None:
    if not path.exists():
        raise ConfigError(f"{path}: no such file; {hint}")


def _load(load: Callable[[], T]) -> T:
    """Load keys; the core's own sentence names the file, what is wrong and the cure."""
    try:
        return load()
    except PermissionError as error:
        raise ExposedFile(str(error)) from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
