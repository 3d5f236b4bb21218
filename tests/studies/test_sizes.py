"""Answers in bins of perturbation size."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from redhanded.studies.evaluation import BINS, size_matched_bins


def test_size_alone_tells_nothing_once_sizes_are_matched() -> None:
    """Classes of different sizes: naming by size is often right over all, and at chance among those of one size."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20_000)
    l2 = rng.normal(1 + 0.5 * labels, 0.5)
    right = (l2 > 1.25) == labels
    bins = size_matched_bins(l2, labels, right, seed=0)
    correct, n = (sum(getattr(part, name) for part in bins) for name in ("correct", "n"))
    assert right.mean() > 0.68
    assert abs(correct / n - 0.5) < 0.04  # within a bin the larger still are a little more often of the larger class


def test_what_does_not_hang_on_size_stays() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20_000)
    right = rng.random(40_000) < 0.9
    bins = size_matched_bins(rng.normal(1 + 0.5 * labels, 0.5), labels, right, seed=0)
    assert abs(sum(part.correct for part in bins) / sum(part.n for part in bins) - 0.9) < 0.01


def test_classes_of_no_common_size_give_no_bin() -> None:
    labels = np.repeat([0, 1], 100)
    assert size_matched_bins(1.0 + labels, labels, labels == 1, seed=0) == []


@given(st.data())
def test_classes_are_equally_large_in_every_bin(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 60))
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))
    l2 = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5]), min_size=count, max_size=count)))
    classes = len(np.unique(labels))
    bins = size_matched_bins(l2, labels, labels == labels.max(), seed=1)
    assert len(bins) <= BINS
    assert all(part.low <= part.high for part in bins)
    assert all(one.high <= other.low for one, other in itertools.pairwise(bins))
    for part in bins:
        assert part.n % classes == 0
        assert part.correct == part.n // classes  # of each class as many, and one class is named rightly
