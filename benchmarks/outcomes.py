"""What the images of an engine are worth; no engine's own word is taken for it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.records import Comparison, Distances, Outcome
from redhanded.attacks import AttackOutput, AttackSpec
from redhanded.core import norm_of
from redhanded.models import predict_logits

SLACK = 0.005  # by how much ours may lie below a peer and still be as good: in success, and in the median norm
SAME = 1e-5  # by which two images may differ in a pixel and still be the same one


class Judged(NamedTuple):
    """The images of all sets of a scenario, one set behind the other; every tensor has a row for each."""

    images: Tensor  # (sets * n, c, h, w)
    success: Tensor  # bool: changed, and the victim is wrong
    margin_success: Tensor  # bool: and wrong by more than the attack's confidence
    l2: Tensor
    linf: Tensor
    norms: tuple[str, ...]  # the attack's own norm, one a set


def judge(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    specs: Sequence[AttackSpec],
    made: Mapping[AttackSpec, AttackOutput],
) -> Judged:
    """Ask the plain network about what an attack made of n images that it classified rightly."""
    parts = [_judge_one(network, images, labels, spec, made[spec].images) for spec in specs]
    columns: dict[str, Any] = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in Judged._fields if name != "norms"
    }
    return Judged(**columns, norms=tuple(spec.norm for spec in specs))


def _judge_one(network: nn.Module, images: Tensor, labels: Tensor, spec: AttackSpec, attacked: Tensor) -> Judged:
    perturbation = attacked - images
    changed = perturbation.flatten(1).any(1)
    logits, own = predict_logits(network, attacked), labels[:, None]
    wrong = logits.argmax(1) != labels
    margin = logits.scatter(1, own, -torch.inf).amax(1) - logits.gather(1, own).squeeze(1)
    wide = margin > getattr(spec, "confidence", 0.0)
    fools = changed & wrong
    return Judged(
        images=attacked,
        success=fools,
        margin_success=fools & wide,
        l2=norm_of(perturbation, "l2"),
        linf=norm_of(perturbation, "linf"),
        norms=(spec.norm,),
    )


def outcome(judged: Judged) -> Outcome:
    """An engine's images in numbers."""
    return Outcome(
        images=len(judged.images),
        success=int(judged.success.sum()),
        margin_success=int(judged.margin_success.sum()),
        distances=_distances(judged, judged.success),
    )


def compare(ours: Judged, theirs: Judged) -> Comparison:
    """Ours and a peer's images, made of the same ones in the same order."""
    both = ours.margin_success & theirs.margin_success
    ratio = _norm_ratio(ours, theirs, both)
    share_ours, share_theirs = (judged.margin_success.double().mean().item() for judged in (ours, theirs))
    return Comparison(
        both=int(both.sum()),
        ours=_distances(ours, both),
        theirs=_distances(theirs, both),
        norm_ratio=ratio,
        agree=((ours.images - theirs.images).flatten(1).abs().amax(1) <= SAME).double().mean().item(),
        as_good=as_good(share_ours, share_theirs, ratio),
    )


def as_good(success_ours: float, success_theirs: float, norm_ratio: float | None) -> bool:
    """Equal success, and a median norm at most 0.5 % above the peer's over the images that both succeeded on.

    Success, with the margin, counts as equal down to half a percentage point below the peer's: rounding alone
    moves images that lie on the boundary. Where no image succeeded in both there is nothing to call as good.
    """
    return norm_ratio is not None and norm_ratio <= 1 + SLACK and success_ours >= success_theirs - SLACK


def _distances(judged: Judged, rows: Tensor) -> Distances | None:
    if not rows.any():
        return None
    l2, linf = judged.l2[rows], judged.linf[rows]
    return Distances(
        median_l2=_median(l2), mean_l2=l2.mean().item(), median_linf=_median(linf), mean_linf=linf.mean().item()
    )


def _norm_ratio(ours: Judged, theirs: Judged, both: Tensor) -> float | None:
    """The worst of the norms that the scenario's attacks have."""
    each = len(ours.images) // len(ours.norms)
    ratios = []
    for norm in set(ours.norms):
        rows = both & torch.tensor([own == norm for own in ours.norms]).repeat_interleave(each)
        if rows.any():
            ratios.append(_median(_sizes(ours, norm)[rows]) / _median(_sizes(theirs, norm)[rows]))
    return max(ratios, default=None)


def _sizes(judged: Judged, norm: str) -> Tensor:
    return judged.l2 if norm == "l2" else judged.linf


def _median(values: Tensor) -> float:
    return values.quantile(0.5).item()
