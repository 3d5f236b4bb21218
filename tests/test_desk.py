"""From a bundle and images to verdicts."""

from pathlib import Path

import pytest

import redhanded
from redhanded.bundle.dimensions import DIMENSIONS


@pytest.fixture(scope="module")
def desk(bundle: Path) -> redhanded.Attributor:
    return redhanded.Attributor.load(bundle)


def test_every_dimension_is_answered_and_sums_to_one(desk: redhanded.Attributor) -> None:
    images = desk.bundle.examples
    verdicts = desk.attribute(images)
    assert len(verdicts) == len(images)
    for verdict in verdicts:
        assert verdict.findings.keys() <= DIMENSIONS.keys()
        for finding in verdict.findings.values():
            shares = [one.probability for one in finding.ranked]
            assert sum(shares) == pytest.approx(1)
            assert shares == sorted(shares, reverse=True)
