"""Equal classes and pairing: what holds for every pick, whatever succeeded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from redhanded.sets import FEWEST, Design, choose_design, equally_many, pick_rows

Success = list[NDArray[np.bool_]]


@st.composite
def successes(draw: st.DrawFn) -> Success:
    """For 2 to 4 classes of 1 to 3 sets, which of up to 60 source images succeeded; some classes rarely do."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = draw(st.integers(1, 60))
    sets = draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    return [rng.random((count, images)) < draw(st.sampled_from([0.05, 0.5, 0.9, 1.0])) for count in sets]


designs = st.sampled_from(["paired", "equal"])
seeds = st.integers(0, 2**63 - 1)
caps = st.none() | st.integers(0, 40)


@given(successes(), designs, seeds, caps)
@settings(deadline=None)
def test_every_pick_is_equal_successful_and_without_repeats(
    success: Success, design: Design, seed: int, most: int | None
) -> None:
    picks = pick_rows(success, design, seed, most)
    assert len(picks) == len(success)
    assert len({len(pick.rows) for pick in picks}) == 1
    for able, pick in zip(success, picks, strict=True):
        assert able[pick.sets, pick.rows].all()
        assert len(np.unique(pick.rows)) == len(pick.rows) == len(pick.sets)


@given(successes(), seeds)
@settings(deadline=None)
def test_paired_takes_exactly_the_images_that_succeeded_in_every_class(success: Success, seed: int) -> None:
    everywhere = [row for row in range(success[0].shape[1]) if all(able[:, row].any() for able in success)]
    for pick in pick_rows(success, "paired", seed):
        assert pick.rows.tolist() == everywhere


@given(successes(), seeds)
@settings(deadline=None)
def test_equal_is_as_large_as_the_smallest_class(success: Success, seed: int) -> None:
    smallest = min(sum(able[:, row].any() for row in range(able.shape[1])) for able in success)
    assert [len(pick.rows) for pick in pick_rows(success, "equal", seed)] == [smallest] * len(success)


@given(successes(), designs, seeds, st.integers(0, 40))
@settings(deadline=None)
def test_a_cap_is_reached_and_keeps_pairs(success: Success, design: Design, seed: int, most: int) -> None:
    free = pick_rows(success, design, seed)
    capped = pick_rows(success, design, seed, most)
    assert [len(pick.rows) for pick in capped] == [min(most, len(pick.rows)) for pick in free]
    if design == "paired":
        assert all(np.array_equal(pick.rows, capped[0].rows) for pick in capped)


@given(successes(), designs, seeds, caps)
@settings(deadline=None)
def test_the_seed_decides(success: Success, design: Design, seed: int, most: int | None) -> None:
    once, again = (pick_rows(success, design, seed, most) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.sets, other.sets)


def test_another_seed_picks_others() -> None:
    success = [np.ones((3, 200), dtype=bool), np.ones((1, 100), dtype=bool).repeat(2, 1) & (np.arange(200) < 100)]
    one, other = pick_rows(success, "equal", 1)[0], pick_rows(success, "equal", 2)[0]
    assert not np.array_equal(one.rows, other.rows)
    assert not np.array_equal(one.sets, other.sets)


def test_sets_of_a_class_share_its_images_evenly() -> None:
    (pick, _) = pick_rows([np.ones((3, 3000), dtype=bool)] * 2, "paired", 0)
    assert np.bincount(pick.sets, minlength=3) == pytest.approx([1000] * 3, abs=130)  # five deviations


def of_counts(train: int, test: int) -> dict[str, Success]:
    """Two classes whose images meet in the first `train` and `test` source images only."""
    rows = np.arange(200)
    return {
        split: [(rows < count)[None], ((rows < count) | (rows >= 100))[None]]
        for split, count in (("train", train), ("test", test))
    }


@pytest.mark.parametrize(
    ("train", "test", "design"),
    [
        (FEWEST["train"], FEWEST["test"], "paired"),
        (FEWEST["train"] - 1, FEWEST["test"], "equal"),
        (FEWEST["train"], FEWEST["test"] - 1, "equal"),
    ],
)
def test_paired_needs_enough_pairs_in_both_splits(train: int, test: int, design: Design) -> None:
    assert choose_design(of_counts(train, test)) == design  # type: ignore[arg-type]


def test_equally_many_of_each_class_are_drawn_one_class_after_the_other() -> None:
    rows = [np.arange(7), np.arange(100, 104), np.arange(50, 60)]
    drawn = equally_many(rows, np.random.default_rng(3))
    again = np.random.default_rng(3)
    assert [part.tolist() for part in drawn] == [again.permutation(places)[:4].tolist() for places in rows]
    assert [len(part) for part in equally_many(rows, np.random.default_rng(3), 2)] == [2, 2, 2]
    assert [len(part) for part in equally_many([*rows, np.arange(0)], np.random.default_rng(3))] == [0, 0, 0, 0]
