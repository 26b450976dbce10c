"""The product on a laboratory network, and what holds after every test: its logs are clean."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jumping_vpn.lab.namespaces import Lab, laboratory
from jumping_vpn.lab.stage import Stage, open_stage
from jumping_vpn.observe.audit import verify


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.root)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """Where a test's gateways and clients live; what they logged is audited at the end."""
    yield tmp_path
    for log in sorted(tmp_path.rglob("events.jsonl")):
        report = verify(log)
        assert report.clean, f"{log}: {report.findings}"


@pytest.fixture
def lab(work: Path) -> Iterator[Lab]:
    with laboratory("jvt") as lab:
        yield lab


@pytest.fixture
def stage(lab: Lab, work: Path) -> Stage:
    """One client, attached, with both paths answering."""
    return open_stage(lab, work)
