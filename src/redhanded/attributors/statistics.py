"""Statistics of an image that an attack leaves its mark in, whatever the size of the image."""

import torch
from torch import Tensor

from redhanded.attributors.residuals import DUST, LEVELS, off_levels

_RANKS = torch.arange(1, 33) / 33  # of the quantiles
_WINDOWS = (1 / 200, 1 / 50, 1 / 12)  # shares of the values: how closely so many of them lie together
_ATOMS = (1e-3, 4e-3, 1.6e-2)  # grey levels: widths within which distances from a level count as the same
_TRUNCATED = 3  # steps to either side that a co-occurrence tells apart
_EDGES = 12  # grey levels next to black and to white that are counted
_BATCH = 1000  # images at once, for memory


@torch.no_grad()
def image_statistics(images: Tensor) -> Tensor:
    """Describe each image by numbers that do not depend on what it shows, (n, c, h, w) in [0, 1] -> (n, f).

    Between the grey levels: while an image is a float, the distance of each value from its nearest level is the
    perturbation, or what is left of it. Its quantiles and their gaps show atoms (steps of one size) beside spread
    (steps that follow a gradient), the share and the place of the two largest atoms how much of the image moved by one
    size and by which, and the products of neighbours show how smooth it is. After rounding all of these
    are 0, and what remains are residuals: quantiles of five high-pass residuals and how often each pair of neighbouring
    truncated residuals occurs (Pevný, Bas, Fridrich, "Steganalysis by subtractive pixel adjacency matrix", IEEE TIFS
    2010), and how many values lie at each level near black and white, where most pictures have many alike.
    """
    batches = [torch.cat([_between(batch), _residual(batch)], 1) for batch in images.float().cpu().split(_BATCH)]
    return torch.cat(batches) if batches else torch.zeros(0, 0)


def _between(images: Tensor) -> Tensor:
    """What lies between grey levels, (n, c, h, w) -> (n, f), in grey levels from -0.5 to 0.5."""
    apart = off_levels(images)
    sizes = apart.abs().flatten(1).sort(1).values.contiguous()  # (n, c h w)
    quantiles = _quantiles(sizes)
    counts = [max(1, round(share * sizes.shape[1])) for share in _WINDOWS]
    windows = [(sizes[:, count:] - sizes[:, :-count]).amin(1) for count in counts]  # 0 where many are one size
    size = apart.flatten(1).square().mean(1).sqrt().clamp_min(DUST)
    neighbours = [
        (apart.narrow(axis, 1, apart.shape[axis] - 1), apart.narrow(axis, 0, apart.shape[axis] - 1))
        for axis in (1, 2, 3)
        if apart.shape[axis] > 1
    ]
    smooth = [(one * other).flatten(1).mean(1) / size.square() for one, other in neighbours]
    agreeing = [(one.sign() * other.sign()).flatten(1).mean(1) for one, other in neighbours]
    whole = (sizes == 0).float().mean(1)
    signed = _quantiles(apart.flatten(1).sort(1).values)
    gaps = quantiles.diff(dim=1)
    logarithms = torch.cat([quantiles, gaps, torch.stack([*windows, size], 1)], 1).clamp_min(DUST).log10()
    return torch.cat([logarithms, signed, torch.stack([*smooth, *agreeing, whole], 1), _atoms(sizes)], 1)


def _atoms(sizes: Tensor) -> Tensor:
    """The two distances that most values share, and by how many: (n, m) in ascending order -> (n, 12).

    Distance 0, where nothing moved, is none of them.
    """
    count, atoms = sizes.shape[1], []
    places = torch.arange(count)
    for width in _ATOMS:
        within = (
            torch.searchsorted(sizes, sizes + width, right=True) - places
        )  # (n, m) how many lie above it so closely
        within = within.masked_fill(sizes <= 2 * _ATOMS[0], 0)
        for _ in range(2):
            most = within.max(1)
            place = sizes.gather(1, most.indices[:, None])  # (n, 1)
            atoms += [most.values / count, place.squeeze(1)]
            within = within.masked_fill((sizes - place).abs() <= 3 * width, 0)
    return torch.stack(atoms, 1)


def _residual(images: Tensor) -> Tensor:
    """What high-pass filters and the ends of the range show, (n, c, h, w) -> (n, f)."""
    levels = images * LEVELS
    across, down = levels.diff(dim=3), levels.diff(dim=2)
    across_twice, down_twice = across.diff(dim=3), down.diff(dim=2)
    residuals = [(across, 2), (across_twice, 4), (down_twice, 4), (across_twice.diff(dim=2).diff(dim=2) / 4, 2)]
    if images.shape[1] > 1:
        residuals.append((across.diff(dim=1), 2))  # what differs between colours
    statistics = []
    for residual, step in residuals:
        sizes = residual.abs().flatten(1).sort(1).values
        statistics += [(_quantiles(sizes)[:, ::2] + 0.1).log10(), _co_occurrences((residual / step).round())]
    rounded = levels.round().flatten(1)
    ends = [*range(_EDGES), *(int(LEVELS) - level for level in range(_EDGES))]
    counts = [(rounded == level).float().mean(1) for level in ends]
    return torch.cat([*statistics, torch.stack(counts, 1)], 1)


def _co_occurrences(residual: Tensor) -> Tensor:
    """Shares of each pair of truncated residuals, side by side and one above the other, (n, c, h, w) -> (n, 98)."""
    values = 2 * _TRUNCATED + 1
    place = residual.clamp(-_TRUNCATED, _TRUNCATED).long() + _TRUNCATED
    shares = []
    for axis in (3, 2):
        length = place.shape[axis] - 1
        pairs = (place.narrow(axis, 0, length) * values + place.narrow(axis, 1, length)).flatten(1)
        counts = torch.zeros(len(residual), values**2).scatter_add_(1, pairs, torch.ones(pairs.shape))
        shares.append(counts / pairs.shape[1])
    return torch.cat(shares, 1)


def _quantiles(sorted_values: Tensor) -> Tensor:
    """(n, m) in ascending order -> (n, 32), evenly spaced ranks."""
    ranks = (_RANKS * (sorted_values.shape[1] - 1)).round().long()
    return sorted_values[:, ranks]
