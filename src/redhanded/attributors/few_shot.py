"""Teaching an attributor a class from a few images: logistic regression on its features, against what it knows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from redhanded.attributors.base import Attributor
from redhanded.attributors.calibration_set import CalibrationSet
from redhanded.attributors.taught import Head, Taught, with_class
from redhanded.sets import Samples

# Of all known images, what may be named the new class though they were named rightly before: half of the one point that
# known families may lose, since it is counted on few images, and others lose up to half as much again.
BUDGET = 0.005
_PENALTY = 0.03  # of the squared weights, half of it, beside the mean loss: few images must not decide for one feature
_FOLDS = 4  # of the known images
_CLEARLY = 1e-3  # how far the next image stays from being lost: no rounding decides it
_LEFT_OUT = 20  # parts of the new images at most; with fewer images each is left out alone


def teach(attributor: Attributor, samples: Samples, families: Mapping[str, Sequence[str]]) -> Taught:
    """The attributor with one class more, learned from images of it; `attributor` itself stays as it was.

    samples: two images or more of the new class, whose name is `samples.classes[0]`; families: name -> classes that
    the attributor knows, by which it is judged what the known ones lose.

    The head is fitted to the features of these images against those of the held-out known ones, both sides weighing
    the same, and then made as willing as BUDGET allows. The answers that calibrate it are honest: each new image's
    comes from a head that was fitted without it, each known image's from one without its source image.
    """
    taught = attributor if isinstance(attributor, Taught) else Taught.around(attributor)
    (name,) = samples.classes
    before, held = taught.answer(samples), taught.held_out_
    new, known = before.features, held.features
    head, offset, of_known = learn_head(new, held, taught.classes_, families)
    parts = torch.arange(len(new)) % min(len(new), _LEFT_OUT)
    of_new = torch.zeros(len(new))
    for part in parts.unique().tolist():
        left = _fit_head(new[parts != part], known, known)
        of_new[parts == part] = left.log_odds(new[parts == part]) + offset
    calibration = CalibrationSet(
        log_proba=torch.cat([with_class(held.log_proba, of_known), with_class(before.log_proba, of_new)]),
        features=torch.cat([known, new]),
        labels=torch.cat([held.labels, torch.full((len(new),), len(taught.classes_))]),
        index=torch.cat([held.index, torch.full((len(new),), -1)]),
    )
    heads = (*taught.heads_, head)
    return Taught(taught.settings, taught.seed).made_of(taught.inner_, (*taught.names_, name), heads, calibration)


class Learned(NamedTuple):
    """A head for a new class, and what it says of what was known."""

    head: Head
    offset: float  # that its bias has for the sake of what was known
    of_known: Tensor  # (n,) log odds of each held-out image, from a head that was fitted without its source image


def learn_head(
    new: Tensor, held: CalibrationSet, classes: Sequence[str], families: Mapping[str, Sequence[str]]
) -> Learned:
    """Fit the head of a new class to features of it, (k, f), as willing to name it as BUDGET allows.

    held: what is known of the classes that are known, in the order of its columns; families: name -> some of these.
    """
    known = held.features
    folds = torch.where(held.index < 0, torch.arange(len(held.index)), held.index) % _FOLDS
    of_known = torch.zeros(len(known))
    for fold in folds.unique().tolist():
        rest = known[folds != fold] if (folds != fold).any() else known
        of_known[folds == fold] = _fit_head(new, rest, known).log_odds(known[folds == fold])
    offset = _offset(of_known, held, classes, families)
    head = _fit_head(new, known, known)
    return Learned(head._replace(bias=head.bias + offset), offset, of_known + offset)


def _fit_head(new: Tensor, rest: Tensor, known: Tensor) -> Head:
    """Logistic regression of new features, (k, f), against others, (n, f), standardised by the known ones."""
    from sklearn.linear_model import LogisticRegression  # slow to import

    head = Head(known[0], torch.zeros(()), known.mean(0), known.std(0).clamp_min(1e-3))
    seen = torch.cat([head.standardise(rest), head.standardise(new)]).double().numpy()
    is_new = np.arange(len(seen)) >= len(rest)
    regression = LogisticRegression(
        C=1 / (_PENALTY * len(seen)), class_weight="balanced", solver="newton-cholesky", tol=1e-6
    ).fit(seen, is_new)
    weights, bias = (
        torch.tensor(values[0], dtype=torch.float32) for values in (regression.coef_, regression.intercept_)
    )
    return head._replace(weights=weights, bias=bias)


def _offset(
    log_odds: Tensor, held: CalibrationSet, classes: Sequence[str], families: Mapping[str, Sequence[str]]
) -> float:
    """What is added to the log odds so that as many known images as BUDGET says are lost, and not one more.

    An image is named the new class where its log odds exceed the logarithm of the largest mean over a family's
    classes: that is what is said of all classes together before the new one takes its share.
    """
    places = {name: place for place, name in enumerate(classes)}
    columns = [[places[name] for name in names] for names in families.values()]
    means = torch.stack([held.log_proba[:, own].logsumexp(1) - np.log(len(own)) for own in columns], 1)
    home = torch.full((len(classes),), -1)
    for family, own in enumerate(columns):
        home[own] = family
    largest, named = means.max(1)
    needed = (largest - log_odds)[named == home[held.labels]].sort().values  # offsets from which each of them is lost
    lost = int(BUDGET * len(log_odds))
    if not len(needed):
        return 0.0
    return needed[min(lost, len(needed) - 1)].item() - _CLEARLY
