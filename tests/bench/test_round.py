"""A quick round without any peer: real namespaces, the product, and the benchmark's own traffic."""

import subprocess
from pathlib import Path

import pytest
from bench.measures import rounds, traffic
from bench.measures.rounds import Plan, perform
from bench.measures.samples import parse
from bench.peers import plain
from bench.peers.jump import Jump
from bench.peers.plain import Plain, PlainTunnel

from bench import latency, smallpackets

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "target" / "debug" / "examples"

pytestmark = pytest.mark.root


@pytest.fixture
def generators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generators in the profile that the other tests build; nothing is kept but here."""
    monkeypatch.setattr(rounds, "KEPT", tmp_path)
    build = ("cargo", "build", "--quiet", "--locked", "--package", "jump-io", "--examples")
    subprocess.run(build, cwd=ROOT, check=True)
    monkeypatch.setattr(traffic, "TRAFFIC", str(BUILT / "traffic"))
    monkeypatch.setattr(plain, "EXAMPLES", BUILT)


@pytest.mark.parametrize(
    ("bench", "measure", "figures"),
    [
        ("latency", latency.figures, ("ping p50", "ping p99")),
        ("smallpackets", smallpackets.figures, ("UDP 200 up", "UDP 200 down")),
    ],
)
def test_a_round_without_peers_measures_the_product_and_what_bounds_it(
    generators: None, capsys, bench, measure, figures
):
    peers = dict.fromkeys((Jump, Plain, PlainTunnel), "trial")
    plan = Plan(bench=bench, run="trial", rounds=range(1, 2), seconds=0.3, peers=peers)

    perform(plan, measure)

    told = parse(capsys.readouterr().out.splitlines())
    measured = {(each.peer, each.figure): each.value for each in told}
    for peer in peers:
        assert all(measured[peer.name, figure] > 0 for figure in figures)
