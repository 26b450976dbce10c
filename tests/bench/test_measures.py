"""What generators, the kernel and the profiler print is understood, and what is wrong is said."""

import json

import pytest
from bench.measures import processor, profile, traffic
from bench.measures.processor import Machine
from bench.peers.roster import VPNS, UnknownPeer, installed, vpns
from bench.peers.tinc import Tinc


def test_what_the_receiver_of_iperf3_counted_is_the_figure():
    received = {"bytes": 250_000_000, "seconds": 2.0, "bits_per_second": 1e9}
    told = json.dumps({"end": {"sum_sent": {"bytes": 9}, "sum_received": received}})

    assert traffic.received_by_tcp(told) == (250_000_000, 2.0)


@pytest.mark.parametrize("told", ['{"error": "unable to connect"}', "", "Killed", '{"end": {}}'])
def test_a_generator_that_failed_makes_no_figure(told: str):
    with pytest.raises(traffic.TrafficFailed):
        traffic.received_by_tcp(told)


def test_round_trips_have_a_middle_and_a_tail_and_count_what_is_lost():
    told = json.dumps({"sent": 101, "round_trips_tenths_us": [*range(10, 1000, 10), 50_000]})

    echoes = traffic.round_trips(told)

    assert echoes == traffic.Echoes(sent=101, lost=1, p50_us=51.0, p99_us=5000.0)


def test_a_disturbance_that_ends_is_not_taken_for_the_tail_of_a_tunnel():
    calm, disturbed = [2_000] * 200, [2_000] * 190 + [40_000] * 10
    told = json.dumps({"sent": 600, "round_trips_tenths_us": [*calm, *disturbed, *calm]})

    assert traffic.round_trips(told).p99_us == 200.0


def test_no_echo_at_all_is_a_failure_and_not_a_figure():
    with pytest.raises(traffic.TrafficFailed, match="no echo"):
        traffic.round_trips('{"sent": 5, "round_trips_tenths_us": []}')


def test_the_machine_is_busy_with_all_but_idling_waiting_and_being_robbed():
    earlier = Machine.read("cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 1 1\n")

    span = Machine.read("cpu  100 10 50 300 40 5 35 60 7 0\n").since(earlier)

    ticks = [each / processor.TICK for each in (span.busy, span.idle, span.stolen, span.total)]
    assert [round(each) for each in ticks] == [200, 340, 60, 600]


def test_little_work_of_others_is_no_doubt_and_much_says_how_much():
    assert processor.explain(elsewhere=0.05, stolen=0.0) == ""
    assert processor.explain(elsewhere=0.5, stolen=0.1) == (
        "others used 50% of the processors; 10% of the processors were taken away"
    )


SCRIPT = """
\tffffffff81 crypto_stuff_free ([kernel.kallsyms])
\tffffffff82 __netif_receive_skb ([kernel.kallsyms])
\tffffffff83 __sys_sendmsg ([kernel.kallsyms])
\tffffffff84 do_syscall_64 ([kernel.kallsyms])
\t      7f00 sendmsg (/usr/lib/libc.so.6)

\t      7f01 ring_core_0_17_aes_gcm_enc_update_vaes_avx2 (/x/python/jumping_vpn/_native.abi3.so)
\t      7f02 [unknown] ([unknown])

\t      7f03 jump_proto::tunnel::Tunnel::send (/x/python/jumping_vpn/_native.abi3.so)

\t      7f04 __memmove_avx_unaligned_erms (/usr/lib/libc.so.6)

\t      7f05 _PyEval_EvalFrameDefault (/usr/bin/python3.11)

\tffffffff85 do_epoll_wait ([kernel.kallsyms])
\tffffffff84 do_syscall_64 ([kernel.kallsyms])
"""


def test_a_sample_belongs_to_the_innermost_thing_that_has_a_name():
    assert profile.count(SCRIPT) == {
        "UDP: send": 1,
        "AEAD": 1,
        profile.OWN: 1,
        "copies": 1,
        "control plane": 1,
        "waiting and waking": 1,
    }


def test_peers_are_chosen_by_name_and_an_unknown_one_is_told_with_those_there_are():
    assert vpns(["tinc"]) == (Tinc,)
    assert vpns([]) == ()
    with pytest.raises(UnknownPeer, match="zerotier: the peers are wireguard-go, openvpn"):
        vpns(["tinc", "zerotier"])


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("bench.peers.peer.BUILT", "/nowhere")

    assert installed(VPNS) == {}
