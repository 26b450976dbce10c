"""The policy: its bounds, its errors and its hash."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from jumping_vpn.core.policy.limits import (
    FIELDS,
    MINUTE,
    Beyond,
    Field,
    Limits,
    Policy,
    PolicyError,
    limits_of,
)

BY_NAME = {each.name: each for each in FIELDS}


def test_every_field_has_one_entry_in_the_table_of_fields():
    assert [each.name for each in FIELDS] == [each.name for each in fields(Policy)]


def test_the_default_policy_is_within_its_bounds():
    assert Policy.from_mapping({}) == Policy()


@pytest.mark.parametrize("field", [each for each in FIELDS if each.unit != "names"])
def test_a_value_below_its_bound_is_refused_by_name_value_and_range(field: Field):
    low = field.low.plus if isinstance(field.low, Beyond) else field.low
    value = low if field.above_low else low - 1

    with pytest.raises(PolicyError) as refused:
        Policy.from_mapping({field.name: value})

    assert field.name in str(refused.value)
    assert str(value) in str(refused.value)
    assert field.range in str(refused.value)


@pytest.mark.parametrize("field", [each for each in FIELDS if each.unit != "names"])
def test_a_value_above_its_bound_is_refused(field: Field):
    high = 40 * 24 * 60 * MINUTE if isinstance(field.high, Beyond) else field.high + 1

    with pytest.raises(PolicyError, match=rf"^{field.name} = "):
        Policy.from_mapping({field.name: high})


@pytest.mark.parametrize(
    ("given_fields", "text"),
    [
        ({"sesion_ttl": 1}, "sesion_ttl: no such field"),
        ({"session_ttl": "1h"}, "session_ttl = '1h': expected a whole number"),
        ({"session_ttl": 1.5}, "session_ttl = 1.5: expected a whole number"),
        ({"session_ttl": True}, "session_ttl = True: expected a whole number"),
        ({"loss_threshold": "10%"}, "loss_threshold = '10%': expected a number"),
        ({"loss_threshold": float("nan")}, "loss_threshold = nan: out of range, above 0"),
        ({"loss_threshold": float("inf")}, "loss_threshold = inf: out of range, above 0"),
        ({"loss_threshold": 10**400}, "loss_threshold = 1000"),
        ({"allowed_transports": []}, "allowed_transports = .*one or more of udp, quic, tcp"),
        ({"allowed_transports": ["upd"]}, "allowed_transports = .*'upd'"),
        ({"allowed_transports": "udp"}, "allowed_transports = 'udp'"),
        ({"allowed_transports": [["udp"]]}, "allowed_transports = "),
    ],
)
def test_a_wrong_field_is_refused_with_what_was_expected(given_fields, text):
    with pytest.raises(PolicyError, match=text):
        Policy.from_mapping(given_fields)


def test_a_bound_may_be_another_field():
    with pytest.raises(PolicyError, match=r"recovery_window \+ 60000 \.\. session_ttl"):
        Policy.from_mapping({"recovery_window": 600_000, "transport_loss_ttl": 659_999})

    Policy.from_mapping({"recovery_window": 600_000, "transport_loss_ttl": 660_000})

    with pytest.raises(PolicyError, match="peer_silence_max = 901000"):
        Policy.from_mapping({"peer_silence_max": 901_000})


def test_a_policy_is_checked_however_it_is_made():
    with pytest.raises(PolicyError):
        replace(Policy(), session_ttl=1)
    with pytest.raises(msgspec.ValidationError, match="session_ttl = 1"):
        msgspec.json.decode(b'{"session_ttl": 1}', type=Policy)


@given(st.sampled_from(FIELDS), st.data())
def test_any_policy_survives_its_mapping_and_keeps_its_hash(field: Field, data: st.DataObject):
    value = data.draw(allowed_values(field))

    policy = Policy.from_mapping({**ROOMY, field.name: value})

    again = Policy.from_mapping(policy.to_mapping())
    assert again == policy
    assert again.hash() == policy.hash()


def test_equal_policies_have_equal_hashes_and_others_have_others():
    three = Policy.from_mapping({"latency_factor": 3})
    backwards = Policy.from_mapping({"allowed_transports": ["tcp", "quic", "udp"]})

    assert three.hash() == backwards.hash() == Policy().hash()
    assert Policy.from_mapping({"latency_factor": 4}).hash() != Policy().hash()


def test_the_data_plane_is_told_every_limit_in_its_units():
    limits = limits_of(Policy())

    assert limits == Limits(
        heartbeat_us=25_000,
        heartbeat_idle_us=15_000_000,
        dead_after_misses=3,
        false_deaths_per_day=1.0,
        peer_silence_us=10_000_000,
        loss_window_us=2_000_000,
        loss_threshold=0.1,
        latency_factor=3.0,
        jitter_factor=4.0,
        latency_floor_us=50_000,
        replay_window=8192,
        retain_time_us=1_000_000,
        retain_bytes=4 * 1024 * 1024,
    )


ROOMY = {"session_ttl": 30 * 24 * 60 * MINUTE, "transport_loss_ttl": 24 * 60 * MINUTE}


def allowed_values(field: Field) -> st.SearchStrategy:
    if field.unit == "names":
        return st.lists(st.sampled_from(("udp", "quic", "tcp")), min_size=1)
    low = 11 * MINUTE if isinstance(field.low, Beyond) else field.low
    if field.name == "session_ttl":
        low = 24 * 60 * MINUTE
    high = 24 * 60 * MINUTE if isinstance(field.high, Beyond) else field.high
    if isinstance(getattr(Policy(), field.name), float):
        return st.floats(low, high, exclude_min=field.above_low)
    return st.integers(low, high)
