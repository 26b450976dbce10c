"""Configuration files: strict TOML whose errors name the file, the line, the field and the cure.

ConfigError
└── ExposedFile     readable by others; the message carries the chmod command
"""

import base64
import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec

from jumping_vpn.core.policy.limits import Policy, PolicyError

T = TypeVar("T")

READ_MAX: Final = 1 << 16

_ENDPOINT: Final = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|[^\[\]:/\s]+):(?P<port>\d{1,5})")
_INTERFACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}=")


class ConfigError(Exception):
    """A configuration that is refused: where, what was found and what was expected."""


class ExposedFile(ConfigError):
    """A file that holds secrets and can be read or written by others than its owner."""


class Checked(str):
    """Text that is known to be well-formed: it cannot be made otherwise."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Return the text if it is what the class promises, or raise ValueError."""
        cls._check(text)
        return super().__new__(cls, text)

    @staticmethod
    def _check(text: str) -> None:
        raise NotImplementedError


class Endpoint(Checked):
    """`HOST:PORT`; an IPv6 address stands in brackets."""

    __slots__ = ()

    @staticmethod
    def _check(text: str) -> None:
        match = _ENDPOINT.fullmatch(text)
        if match is None or not 1 <= int(match["port"]) <= 65535 or not _is_host(match):
            raise ValueError(
                "expected HOST:PORT such as vpn.example.org:4789 or [2001:db8::1]:4789, "
                f"got {text!r}"
            )

    @classmethod
    def of(cls, host: str, port: int) -> Self:
        """Return the endpoint of this host and port, with brackets where the address needs them."""
        return cls(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    @property
    def host(self) -> str:
        """The host name or address, without brackets."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.rpartition(":")[2])


class Network(Checked):
    """An IPv4 or IPv6 network in CIDR form, without host bits."""

    __slots__ = ()

    @staticmethod
    def _check(text: str) -> None:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(
                f"expected a network such as 10.77.0.0/24 or fd00::/64, got {text!r} ({error})"
            ) from None

    @property
    def parsed(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """The network as arithmetic sees it."""
        return ipaddress.ip_network(self)


class Subnet(Network):
    """A network with room for the gateway and at least one client."""

    __slots__ = ()

    @staticmethod
    def _check(text: str) -> None:
        if Network(text).parsed.num_addresses < 4:
            raise ValueError(f"expected a subnet of at least four addresses, got {text!r}")


class Address(Checked):
    """One IPv4 or IPv6 address."""

    __slots__ = ()

    @staticmethod
    def _check(text: str) -> None:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ValueError(f"expected an IP address, got {text!r}") from None


class Key(Checked):
    """A public key: 32 bytes in base64."""

    __slots__ = ()

    @staticmethod
    def _check(text: str) -> None:
        if _KEY.fullmatch(text) is None:
            raise ValueError(
                f"expected a key of 32 bytes in base64 (44 characters), got {len(text)} characters"
            )

    @classmethod
    def of(cls, key: bytes) -> Self:
        """Return the text of these 32 bytes."""
        return cls(base64.b64encode(key).decode("ascii"))

    @property
    def decoded(self) -> bytes:
        """The 32 bytes."""
        return base64.b64decode(self)


class InterfaceName(Checked):
    """A name the kernel accepts for a network interface."""

    __slots__ = ()

    @staticmethod
    def _check(text: str) -> None:
        if _INTERFACE.fullmatch(text) is None or text in {".", ".."}:
            raise ValueError(
                f"expected an interface name of 1 to 15 letters, digits, _ . -, got {text!r}"
            )


def parse(text: str, shape: type[T], *, source: str) -> T:
    """Return the TOML `text` as `shape`, or raise a ConfigError that points into `source`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: {_toml_fault(str(error), text)}") from None
    try:
        return msgspec.convert(table, shape, strict=True, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(_field_fault(str(error), shape, text, table, source)) from None


def check_policy(overrides: Mapping[str, object], text: str, *, source: str) -> None:
    """Refuse a `[policy]` table that makes no policy, with the line of the field that is wrong."""
    try:
        Policy.from_mapping(overrides)
    except PolicyError as error:
        field = re.split(r"[ :]", str(error), maxsplit=1)[0]
        where = locate(text, f"policy.{field}")
        line = f"line {where}: " if where is not None else ""
        raise ConfigError(f"{source}: {line}policy.{error}") from None


def read_private(path: Path) -> str:
    """Return the text of a file with secrets, refused when anybody but its owner can get at it."""
    try:
        content = _read_unexposed(path)
        return content.decode()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: expected a file, found a directory") from None
    except PermissionError:
        raise ConfigError(f"{path}: belongs to somebody else; run as its owner") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, byte {error.start} is not") from None


def check_private_directory(path: Path) -> None:
    """Refuse a directory of secrets that others can enter."""
    if not path.is_dir():
        raise ConfigError(f"{path}: no such directory")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ExposedFile(
            f"{path}: mode {mode:04o} lets others in, expected 0700. Run: chmod 700 {path}"
        )


def locate(text: str, field: str) -> int | None:
    """Return the line that sets `field` (`table.key` or `table.key[2]`), where it is found."""
    *tables, key = re.sub(r"\[\d+\]", "", field).split(".")
    wanted, current, header = ".".join(tables), "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            current = match[1]
            header = number if current == field else header
        elif current == wanted and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return header


def _read_unexposed(path: Path) -> bytes:
    """Return what the file holds; asked of the open file, so that it is the one that was judged."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077 and not stat.S_ISDIR(found.st_mode):
            raise ExposedFile(
                f"{path}: mode {mode:04o} lets others read it, expected 0600. Run: chmod 600 {path}"
            )
        content = b""
        while piece := os.read(descriptor, READ_MAX):
            content += piece
        return content
    finally:
        os.close(descriptor)


def _decode(shape: type[Any], value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"expected a string, got {value!r}")  # noqa: TRY004 - msgspec adds the path to ValueError
    return shape(value)


def _is_host(match: re.Match[str]) -> bool:
    if match["six"] is None:
        return True
    try:
        return ipaddress.ip_address(match["six"]).version == 6
    except ValueError:
        return False


def _toml_fault(fault: str, text: str) -> str:
    what, _, place = fault.rstrip(")").rpartition(" (at ")
    if place == "end of document":
        place = f"line {len(text.splitlines())}"
    return f"{place}: not valid TOML: {what}"


def _field_fault(
    fault: str, shape: type[Any], text: str, table: dict[str, Any], source: str
) -> str:
    what, _, path = fault.partition(" - at `$")
    field = path.rstrip("`").removeprefix(".")
    if match := re.search(r"unknown field `(.+)`", what):
        known = _known_fields(shape, field.split(".") if field else ())
        field = ".".join(filter(None, (field, match[1])))
        what = f"unknown field, expected one of: {', '.join(known)}"
    elif match := re.search(r"missing required field `(.+)`", what):
        field = ".".join(filter(None, (field, match[1])))
        what = "missing, and it has no default"
    elif what.startswith("Expected `") and "got" not in what:
        what = f"{what}, got {_value_at(table, field)!r}"
    where = locate(text, field)
    line = f"line {where}: " if where is not None else ""
    name = f"{field}: " if field else ""
    return f"{source}: {line}{name}{what[:1].lower()}{what[1:]}"


def _value_at(table: dict[str, Any], field: str) -> object:
    value: Any = table
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", field):
        value = value[key] if key else value[int(index)]
    return value


def _known_fields(shape: type[Any], path: Sequence[str]) -> tuple[str, ...]:
    for name in path:
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
        shape = fields[re.sub(r"\[.*", "", name)]
    return tuple(sorted(field.encode_name for field in msgspec.structs.fields(shape)))
