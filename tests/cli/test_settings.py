"""Every way in which a configuration can be wrong is told with its place and what was expected."""

from pathlib import Path

import pytest

from jumping_vpn.client.config import ClientConfig, parse_client, state_directory
from jumping_vpn.gateway.config import GatewayConfig, load, load_clients
from jumping_vpn.system.settings import ConfigError, Endpoint, ExposedFile, parse

KEY = "A" * 43 + "="
GATEWAY = 'endpoints = ["vpn.example.org:4789"]\n'
CLIENT = f'name = "laptop"\n[gateway]\npublic_key = "{KEY}"\nendpoints = ["203.0.113.1:4789"]\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "gateway.toml: endpoints: missing, and it has no default"),
        ("endpoints = []", "line 1: endpoints: expected `array` of length >= 1, got []"),
        ("endpoints = 'a:1'", "line 1: endpoints: expected `array`, got `str`"),
        ("endpoints = ['a']", "line 1: endpoints[0]: expected HOST:PORT such as"),
        ("endpoints = ['a:0']", "got 'a:0'"),
        ("endpoints = ['a:65536']", "got 'a:65536'"),
        ("endpoints = ['2001:db8::1:4789']", "got '2001:db8::1:4789'"),
        ("endpoints = ['[10.0.0.1]:4789']", "got '[10.0.0.1]:4789'"),
        ("endpoints = [7]", "line 1: endpoints[0]: expected a string, got 7"),
        (GATEWAY + "port = 0", "line 2: port: expected `int` >= 1, got 0"),
        (GATEWAY + "port = 65536", "line 2: port: expected `int` <= 65535, got 65536"),
        (GATEWAY + "port = '4789'", "line 2: port: expected `int`, got `str`"),
        (GATEWAY + "node = true", "line 2: node: expected `int`, got `bool`"),
        (
            GATEWAY + "listen = ['everywhere']",
            "listen[0]: expected an IP address, got 'everywhere'",
        ),
        (GATEWAY + "colour = 1", "line 2: colour: unknown field, expected one of: capacity,"),
        (
            GATEWAY + "[network]\n\nmtu = 576",
            "line 4: network.mtu: expected `int` >= 1280, got 576",
        ),
        (
            GATEWAY + "[network]\nmtux = 1",
            "line 3: network.mtux: unknown field, expected one of: dns",
        ),
        (
            GATEWAY + "[network]\nsubnets = ['10.0.0.1/24']",
            "network.subnets[0]: expected a network",
        ),
        (GATEWAY + "[network]\nsubnets = ['10.0.0.0/31']", "expected a subnet of at least four"),
        (GATEWAY + "[network]\nsubnets = []", "subnets: expected at least one subnet"),
        (
            GATEWAY + "[network]\nsubnets = ['10.0.0.0/8', '10.1.0.0/16']",
            "subnets: 10.1.0.0/16 overlaps 10.0.0.0/8, expected distinct subnets",
        ),
        (GATEWAY + "[network]\nroutes = ['lan']", "network.routes[0]: expected a network such as"),
        (GATEWAY + "[network]\ninterface = 'a/b'", "network.interface: expected an interface name"),
        (GATEWAY + "[network]\nisolate_clients = 1", "isolate_clients: expected `bool`, got `int`"),
        (GATEWAY + "[network", "line 2: not valid TOML: Expected ']'"),
        (GATEWAY + GATEWAY, "line 2, column 37: not valid TOML: Cannot overwrite a value"),
        (GATEWAY + "port =", "line 2: not valid TOML: Invalid value"),
    ],
)
def test_a_wrong_gateway_configuration_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, GatewayConfig, source="gateway.toml")

    assert str(caught.value).startswith("gateway.toml: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CLIENT.replace("laptop", "a/b"), "line 1: name: expected `str` matching regex"),
        (CLIENT.replace(KEY, "abc"), "line 3: gateway.public_key: expected a key of 32 bytes"),
        (CLIENT + "[tunnel]\nmtu = 1000", "mtu: expected 1280 to 65535, got 1000"),
        (CLIENT + "[interfaces]\ninclude = 'wlan0'", "interfaces.include: expected `array`"),
        (
            CLIENT + "[policy]\n\nrecovery_window = 1",
            "line 7: policy.recovery_window = 1: out of range, 100 .. 600000",
        ),
        (CLIENT + "[policy]\ncolour = 1", "line 6: policy.colour: no such field; the fields are"),
        ('name = "laptop"', "gateway: missing, and it has no default"),
    ],
)
def test_a_wrong_client_configuration_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_client(text, source="laptop.toml")

    assert str(caught.value).startswith("laptop.toml: ")
    assert told in str(caught.value)


def test_a_client_configuration_says_what_it_says() -> None:
    config = parse_client(
        CLIENT + '[interfaces]\npreference = ["wlan*"]\n[policy]\nrecovery_window = 5000\n',
        source="laptop.toml",
    )

    assert config.name == "laptop"
    assert config.private_key == ""
    assert config.gateway.endpoints == (Endpoint("203.0.113.1:4789"),)
    assert config.gateway.public_key.decoded == bytes(32)
    assert config.tunnel == ClientConfig(name="a", gateway=config.gateway).tunnel
    assert config.interfaces.preference == ("wlan*",)
    assert config.policy == {"recovery_window": 5000}


def test_an_endpoint_knows_its_host_and_port() -> None:
    assert Endpoint("[2001:db8::1]:4789").host == "2001:db8::1"
    assert Endpoint.of("2001:db8::1", 4789) == "[2001:db8::1]:4789"
    assert Endpoint.of("vpn.example.org", 4789).port == 4789


def test_files_with_secrets_must_be_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "gateway.toml"
    path.write_text(GATEWAY)
    path.chmod(0o640)

    with pytest.raises(ExposedFile) as caught:
        load(tmp_path)

    assert str(caught.value) == (
        f"{path}: mode 0640 lets others read it, expected 0600. Run: chmod 600 {path}"
    )


def test_directories_with_secrets_must_be_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    with pytest.raises(ExposedFile, match=f"Run: chmod 700 {tmp_path}"):
        load(tmp_path)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "gateway.toml"

    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path)

    path.write_bytes(b"\xff")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="expected UTF-8 text"):
        load(tmp_path)


def test_clients_are_known_by_their_files(tmp_path: Path) -> None:
    add_client(tmp_path, "laptop", KEY)
    add_client(tmp_path, "phone", "B" + KEY[1:], allowed=False)

    assert load_clients(tmp_path) == {"laptop": bytes(32)}


def test_a_clients_file_may_be_laid_out_as_its_operator_likes(tmp_path: Path) -> None:
    add_client(tmp_path, "laptop", KEY)
    write_client(tmp_path, "phone", f"# lost\nallowed=false\npublic_key='B{KEY[1:]}'\n")
    write_client(tmp_path, "tablet", f'public_key   =   "C{KEY[1:]}"')

    assert set(load_clients(tmp_path)) == {"laptop", "tablet"}


def test_a_clients_file_with_an_unknown_field_is_refused_by_its_line(tmp_path: Path) -> None:
    write_client(tmp_path, "laptop", f'public_key = "{KEY}"\nalowed = true\n')

    with pytest.raises(ConfigError, match=r"laptop.toml: line 2: alowed: unknown field"):
        load_clients(tmp_path)


def test_two_clients_cannot_have_one_key(tmp_path: Path) -> None:
    add_client(tmp_path, "laptop", KEY)
    add_client(tmp_path, "phone", KEY)

    with pytest.raises(ConfigError, match="public_key: is that of client laptop"):
        load_clients(tmp_path)


def test_the_state_lies_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JVPN_STATE_DIR", raising=False)
    assert state_directory("laptop", None) == Path("/var/lib/jumping-vpn/laptop")

    monkeypatch.setenv("JVPN_STATE_DIR", "/run/laptop")
    assert state_directory("laptop", None) == Path("/run/laptop")
    assert state_directory("laptop", Path("here")) == Path("here")


def add_client(directory: Path, name: str, key: str, *, allowed: bool = True) -> None:
    text = f'public_key = "{key}"\nallowed = {str(allowed).lower()}\n'
    write_client(directory, name, text)


def write_client(directory: Path, name: str, text: str) -> None:
    (directory / "clients").mkdir(exist_ok=True)
    path = directory / "clients" / f"{name}.toml"
    path.write_text(text)
    path.chmod(0o600)
