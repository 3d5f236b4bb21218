"""Lp geometry by hand, and Hoelder's inequality that ties a norm to its dual."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from redhanded.core import Norm, dual_norm_of, norm_of, per_image
from redhanded.data import PIXELS, round_to_uint8

TWO = torch.tensor([[[[3.0, -4.0]]], [[[0.0, 0.5]]]])  # (2, 1, 1, 2)


def test_sizes_by_hand() -> None:
    assert norm_of(TWO, "l2").tolist() == [5.0, 0.5]
    assert norm_of(TWO, "linf").tolist() == [4.0, 0.5]
    assert dual_norm_of(TWO, "l2").tolist() == [5.0, 0.5]
    assert dual_norm_of(TWO, "linf").tolist() == [7.0, 0.5]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@given(seed=st.integers(0, 2**32))
def test_hoelder(norm: Norm, seed: int) -> None:
    x, y = torch.randn(2, 5, 1, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    inner = (x * y).flatten(1).sum(1).abs()
    assert (inner <= norm_of(x, norm) * dual_norm_of(y, norm) * (1 + 1e-12)).all()


def test_per_image_broadcasts_over_the_image() -> None:
    assert torch.equal(TWO * per_image(torch.tensor([2.0, 0.0]), TWO), torch.stack([TWO[0] * 2, TWO[1] * 0]))


def test_rounding_goes_to_the_nearest_of_256_levels() -> None:
    levels = torch.arange(256) / 255
    moved = (levels + 0.49 / 255 * torch.tensor([1.0, -1.0]).repeat(128)).clamp(0, 1)
    assert torch.equal(round_to_uint8(moved), levels)
    assert torch.equal(PIXELS["uint8"].apply(moved), levels)
    assert torch.equal(PIXELS["float32"].apply(moved), moved)
