"""Measures against numbers worked out by hand and against their definitions."""

from collections.abc import Sequence
from fractions import Fraction
from math import comb, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as sklearn_confusion

from redhanded.core import confusion_matrix, holm, p_above_chance, wilson_interval

probabilities = st.floats(0, 1, allow_nan=False)
counts = st.integers(1, 300).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def test_confusion_has_true_classes_in_rows() -> None:
    true, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2])
    assert confusion_matrix(true, predicted, 3).tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_confusion_equals_sklearn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs, dtype=np.int64).T
    ours = confusion_matrix(true, predicted, 5)
    assert np.array_equal(ours, sklearn_confusion(true, predicted, labels=range(5)))


def test_confusion_of_nothing_keeps_its_shape() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert np.array_equal(confusion_matrix(nothing, nothing, 3), np.zeros((3, 3)))


def wilson_formula(correct: int, total: int, level: float) -> tuple[float, float]:
    z, share = NormalDist().inv_cdf((1 + level) / 2), correct / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    reach = z / (1 + z * z / total) * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return middle - reach, middle + reach


@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_the_closed_formula(count: tuple[int, int], level: float) -> None:
    correct, total = count
    low, high = wilson_interval(correct, total, level)
    assert (low, high) == pytest.approx(wilson_formula(correct, total, level), abs=1e-9)
    assert 0 <= low <= correct / total <= high <= 1


def test_wilson_by_hand() -> None:
    # 8 of 10 at 95 %: the textbook's (0.4902, 0.9433).
    assert wilson_interval(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def binomial_tail(correct: int, total: int, classes: int) -> Fraction:
    chance = Fraction(1, classes)
    return sum(
        (comb(total, k) * chance**k * (1 - chance) ** (total - k) for k in range(correct, total + 1)), Fraction(0)
    )


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(2, 9))
def test_p_is_the_exact_upper_tail(count: tuple[int, int], classes: int) -> None:
    assert p_above_chance(*count, classes) == pytest.approx(float(binomial_tail(*count, classes)), rel=1e-9)


def test_p_by_hand() -> None:
    assert p_above_chance(3, 3, 2) == pytest.approx(1 / 8)
    assert p_above_chance(2, 2, 3) == pytest.approx(1 / 9)
    assert p_above_chance(0, 7, 3) == 1.0  # one-sided: worse than chance is no finding
    assert p_above_chance(0, 0, 3) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def step_down(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Holm 1979, as defined: reject from the smallest on while p <= alpha / (number of those left)."""
    rejected = [False] * len(p_values)
    for done, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] > alpha / (len(p_values) - done):
            break
        rejected[place] = True
    return rejected


@given(st.lists(probabilities, min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_procedure_rejects(p_values: list[float], alpha: float) -> None:
    corrected = holm(p_values)
    assume(all(abs(p - alpha) > 1e-9 for p in corrected))
    assert [p <= alpha for p in corrected] == step_down(p_values, alpha)


@given(st.lists(probabilities, min_size=1, max_size=8), st.randoms())
def test_holm_keeps_the_order_given(p_values: list[float], random: object) -> None:
    order = sorted(range(len(p_values)), key=lambda _: random.random())  # type: ignore[attr-defined]
    corrected = holm(p_values)
    assert holm([p_values[place] for place in order]) == [corrected[place] for place in order]
    assert all(p <= after <= 1 for p, after in zip(p_values, corrected, strict=True))
