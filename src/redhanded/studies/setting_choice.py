"""The setting that stands for an attack where the paper uses one, chosen by code from what was measured."""

from collections.abc import Sequence
from statistics import fmean

from redhanded.core import Outcome
from redhanded.data import Pixels
from redhanded.sets import NO_VICTIM, SetCard


class Choice(Outcome):
    """The setting that stands for an attack, and why: its success and size, means over the victims."""

    family: str
    norm: str
    setting: dict[str, float | str]
    label: str
    success: float
    median_l2: float


def choose_settings(cards: Sequence[SetCard], pixels: Pixels) -> dict[tuple[str, str], Choice]:
    """Choose a setting for each (family, norm): the highest success, and among equals the smallest perturbation.

    Success is the mean over the victims on the training split, in whole per cent (finer differences are noise);
    the size is the mean over the victims of the median L2.
    """
    groups: dict[tuple[str, str, str], list[SetCard]] = {}
    for card in sorted(cards, key=lambda card: (card.label, card.victim)):
        if card.split == "train" and card.victim != NO_VICTIM:
            groups.setdefault((card.family, card.norm, card.label), []).append(card)
    chosen: dict[tuple[str, str], Choice] = {}
    for (family, norm, label), group in groups.items():
        success, size = fmean(card.success(pixels) for card in group), fmean(card.median_l2 for card in group)
        best = chosen.get((family, norm))
        if best is None or (-round(success, 2), size) < (-round(best.success, 2), best.median_l2):
            chosen[family, norm] = Choice(
                family=family,
                norm=norm,
                setting=group[0].setting,
                label=label,
                success=success,
                median_l2=size,
                seconds=0.0,
            )
    return chosen
