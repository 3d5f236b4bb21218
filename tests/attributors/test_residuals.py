"""The residual bank against its closed form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from redhanded.attributors.residuals import LIMIT, RESIDUALS, VIEWS, ResidualBank, between_levels, waves


def residuals(images: torch.Tensor) -> torch.Tensor:
    """Without the image that stands before them and the views that stand behind."""
    channels = images.shape[1]
    return ResidualBank([0.0] * channels, [1.0] * channels)(images)[:, channels : channels * (1 + RESIDUALS)]


@given(st.floats(0, 1), st.integers(1, 3))
def test_what_is_even_has_no_residual(level: float, channels: int) -> None:
    found = residuals(torch.full((2, channels, 8, 9), level))
    assert found.shape == (2, RESIDUALS * channels, 8, 9)
    assert found.abs().max() < 1e-3


def test_one_grey_level_in_one_pixel_gives_each_kernel() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1 / 255
    kv, square, across, down = residuals(image)[0] * 4  # (9, 9) each, in grey levels
    assert kv[4, 4] == pytest.approx(-1, abs=1e-6)
    assert kv[4, 3] == pytest.approx(8 / 12, abs=1e-6)
    assert kv[2, 2] == pytest.approx(-1 / 12, abs=1e-6)
    assert square[4, 4] == pytest.approx(-1, abs=1e-6)
    assert square[3, 3] == pytest.approx(-1 / 4, abs=1e-6)
    assert (across[4, 3].item(), across[4, 4].item()) == pytest.approx((1, -1), abs=1e-6)
    assert (down[3, 4].item(), down[4, 4].item()) == pytest.approx((1, -1), abs=1e-6)
    assert down[4, 3] == 0


def test_large_residuals_are_truncated() -> None:
    found = residuals(torch.randint(0, 2, (2, 3, 8, 8)).float())
    assert found.abs().max() == LIMIT


def test_channels_do_not_mix_and_the_image_is_normalised() -> None:
    images = torch.rand(3, 3, 8, 8)
    changed = images.clone()
    changed[:, 1] = torch.rand(3, 8, 8)
    bank = ResidualBank([0.5, 0.4, 0.3], [0.2, 0.3, 0.1])
    same = (bank(images) == bank(changed)).flatten(2).all(2).all(0)
    expected = [
        True,
        False,
        True,
        *(place // RESIDUALS != 1 for place in range(3 * RESIDUALS)),
        *[True, False, True] * 6,
    ]
    assert len(expected) == 3 * VIEWS
    assert same.tolist() == expected
    torch.testing.assert_close(bank(images)[:, 2], (images[:, 2] - 0.3) / 0.1)


def test_on_grey_levels_nothing_lies_between() -> None:
    levels = (torch.arange(256) / 255).view(1, 1, 16, 16)
    sine, size = between_levels(levels)[0]
    assert sine.abs().max() < 1e-3
    assert size.max() == 0


@given(st.integers(0, 254), st.floats(-0.49, 0.49))
def test_a_small_perturbation_is_read_from_between_the_levels(level: int, added: float) -> None:
    sine, size = between_levels(torch.full((1, 1, 1, 1), (level + added) / 255, dtype=torch.float64))[0, :, 0, 0]
    assert sine.item() == pytest.approx(math.sin(2 * math.pi * added), abs=1e-9)
    assert size.item() == pytest.approx(max(0.0, 1 + math.log10(max(abs(added), 1e-4)) / 4), abs=1e-9)


@given(st.floats(0, 1))
def test_a_wave_is_the_sine_or_cosine_of_the_level_and_fades_from_black_and_white(value: float) -> None:
    found = waves(torch.full((1, 1, 1, 1), value, dtype=torch.float64))[0, :, 0, 0].tolist()
    height = max(0.0, 1 - 255 * min(value, 1 - value) / 64)
    angles = [2 * math.pi * 255 * value / period for period in (8, 32)]
    assert found == pytest.approx([height * wave(angle) for angle in angles for wave in (math.sin, math.cos)], abs=1e-9)


def test_neighbouring_levels_are_far_apart_in_the_waves_near_black_and_white() -> None:
    levels = waves((torch.arange(256) / 255).view(1, 1, 16, 16)).flatten(2)[0].T  # (256, 4)
    apart = (levels[1:] - levels[:-1]).norm(dim=1)
    assert apart[:32].min() > 0.35
    assert apart[-32:].min() > 0.35
    assert levels[64:192].abs().max() < 1e-6
