"""Checks of a model before it is attacked: the same logits for the same image, with a gradient that says something.

Each row of `CHECKS` is a section of docs/model-checks.md: what is wrong, what it does to attacks, how to repair it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from redhanded.core import p_above_chance, untouched_random_state
from redhanded.errors import AttackError, one_line
from redhanded.models.training import device_of

PAGE = "docs/model-checks.md"
FEW, MANY = 8, 64  # images asked for most checks; for the accuracy
ENOUGH = 50  # images below which an accuracy says too little
BY_CHANCE = 0.01  # p-value above which right answers may be luck
SUM = 1e-4  # how near to 1 probabilities sum
REPEATED = 1e-3  # of the logits' spread: a GPU may sum in another order, and with 10 bits of mantissa
ALONE = 1e-2  # of the logits' spread: another batch size may take another algorithm
TRAINS_OTHERWISE = (  # than it evaluates
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RReLU),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.LazyBatchNorm1d, nn.LazyBatchNorm2d, nn.LazyBatchNorm3d),
    *(nn.LazyInstanceNorm1d, nn.LazyInstanceNorm2d, nn.LazyInstanceNorm3d),
)


class ModelWarning(UserWarning):
    """A model that can be attacked, but is probably not what its user takes it for."""


@dataclass(frozen=True)
class Probe:
    """A model and some of its images, asked once for all checks."""

    model: nn.Module
    images: Tensor  # (n, c, h, w) on the model's device
    labels: Tensor | None  # (n,) on the CPU

    @cached_property
    def few(self) -> Tensor:
        """At most 8 of the images, from the first to the last."""
        return self.images[spread_over(len(self.images), FEW).to(self.images.device)]

    @cached_property
    def answer(self) -> Any:
        """The model's output for the few images; logits, (n, classes), unless the model is no classifier."""
        return self.ask(self.few)

    @cached_property
    def alone(self) -> Any:
        """The model's output for the first of the few images without the others."""
        return self.ask(self.few[:1])

    @property
    def logits(self) -> Tensor:
        """The logits as float32, (n, classes), for the checks that come after `shape`."""
        return self.answer.float()

    @property
    def spread(self) -> float:
        """The range of the logits, by which differences are judged."""
        return (self.logits.max() - self.logits.min()).item()

    @cached_property
    @torch.enable_grad()
    def gradient(self) -> Tensor:
        """The gradient of the loss by the few images, (n, c, h, w); raises whatever the model's own Python raises."""
        images = self.few.clone().requires_grad_()
        loss = functional.cross_entropy(self.model(images).float(), self.logits.argmax(1), reduction="sum")
        return torch.autograd.grad(loss, images)[0]

    def ask(self, images: Tensor) -> Any:
        """Ask the model; raises AttackError where it fails. It gets a copy: some models write into theirs."""
        try:
            with torch.no_grad():
                return self.model(images.clone())
        except Exception as error:  # the model's own Python may raise anything
            expected = f"expected a model that takes images of shape {tuple(images.shape)} in [0, 1]"
            found = f"found {describe_error(error)}; give images of the size that it takes"
            raise AttackError(f"{expected}, {found}{_see('shape')}") from error


def check_model(model: nn.Module, images: Tensor, labels: Tensor | None, needs_gradient: bool = True) -> None:
    """Make sure that attacks on this model mean what they say, from at most 64 of the images.

    images: (n, c, h, w) float32 in [0, 1]; labels: (n,) int64, or None where the model itself is to give them;
    needs_gradient: whether any of the attacks uses the gradient. The model and the global random states are left as
    they were. Without images there is nothing to check.

    Raises AttackError, in one line, for what makes attacks meaningless, and gives a ModelWarning for what makes them
    doubtful.
    """
    if not len(images):
        return
    rows, device = spread_over(len(images), MANY), device_of(model)
    batch = images[rows].to(device).contiguous(memory_format=torch.channels_last)
    probe = Probe(model, batch, None if labels is None else labels[rows].cpu())
    with untouched_random_state(device):
        for name, check in CHECKS.items():
            told = check.run(probe) if needs_gradient or not check.of_gradient else None
            if told and check.refuses:
                raise AttackError(told + _see(name))
            if told:
                warnings.warn(told + _see(name), ModelWarning, stacklevel=3)  # the line that called `generate`


def describe_error(error: BaseException) -> str:
    """Describe a foreign exception by its type and message, in one printable line."""
    return one_line(f"{type(error).__name__}: {error}").removesuffix(":")[:300]


def spread_over(count: int, most: int) -> Tensor:
    """Spread at most `most` places over 0 to count - 1: files are often sorted by class, so not the first ones."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


def _see(name: str) -> str:
    return f"; see {PAGE}#{name}"


def _evaluation_mode(probe: Probe) -> str | None:
    training = [(name, part) for name, part in probe.model.named_modules() if _is_training(part)]
    differing = [pair for pair in training if isinstance(pair[1], TRAINS_OTHERWISE)]
    if not differing and not _is_training(probe.model):
        return None
    name, part = (differing or training)[0]
    where = f"its module {name!r} ({type(part).__name__})" if name else type(part).__name__
    return f"expected a model in evaluation mode, found {where} in training mode; call model.eval() first"


def _is_training(part: nn.Module) -> bool:
    return getattr(part, "training", False)  # a frozen TorchScript module has no mode: it evaluates for good


def _shape(probe: Probe) -> str | None:
    return _not_logits(probe.answer, len(probe.few)) or _not_logits(probe.alone, 1)


def _not_logits(answer: Any, count: int) -> str | None:
    expected = f"expected logits of shape ({count}, k) with k >= 2 for a batch of {count}"
    if not isinstance(answer, Tensor):
        return f"{expected}, found an object of type {type(answer).__name__}; return the tensor of logits alone"
    if answer.ndim != 2 or len(answer) != count or answer.shape[1] < 2:
        return f"{expected}, found shape {tuple(answer.shape)}; give one row for each image, one column for each class"
    if not answer.is_floating_point():
        return f"{expected} in floating point, found {answer.dtype}; return the logits, not the classes"
    return None


def _finite(probe: Probe) -> str | None:
    bad = int(probe.logits.isfinite().all(1).logical_not().sum())
    if not bad:
        return None
    return f"expected finite logits, found NaN or infinity for {bad} of {len(probe.few)} images; check the weights"


def _logits(probe: Probe) -> str | None:
    slack = max(SUM, 4 * torch.finfo(probe.answer.dtype).eps)  # half precision sums badly
    if probe.logits.min() < 0 or ((probe.logits.sum(1) - 1).abs() > slack).any():
        return None
    return "expected logits, found probabilities (each row sums to 1); take the softmax off the end of the model"


def _deterministic(probe: Probe) -> str | None:
    told = _difference(probe, probe.ask(probe.few), probe.logits, REPEATED)
    return told and f"expected the same logits for the same images, {told}; take what is random out of the model"


def _neighbours(probe: Probe) -> str | None:
    told = _difference(probe, probe.alone, probe.logits[:1], ALONE)
    return told and f"expected an image's logits not to depend on its batch, {told}; use fixed statistics"


def _difference(probe: Probe, answer: Tensor, expected: Tensor, share: float) -> str | None:
    difference, spread = (answer.float() - expected).abs().max().item(), probe.spread
    if difference <= share * spread:  # false for NaN, which is a difference too
        return None
    return f"found a difference of {difference:.2g}, the logits' spread being {spread:.2g}"


def _differentiable(probe: Probe) -> str | None:
    try:
        _ = probe.gradient
    except Exception as error:  # the model's own Python may raise anything
        found = describe_error(error)
        return f"expected logits that can be differentiated by the image, found {found}; use torch operations alone"
    return None


def _gradients(probe: Probe) -> str | None:
    flat = probe.gradient.flatten(1)
    bad = int((flat.isfinite().all(1) & flat.any(1)).logical_not().sum())
    if not bad:
        return None
    found = f"none but zeros, or NaN, for {bad} of {len(flat)} images"
    return f"expected a loss whose gradient leads somewhere, found {found}; failures of attacks there are no robustness"


def _labels(probe: Probe) -> str | None:
    if probe.labels is None:
        return None
    total, classes = len(probe.labels), probe.logits.shape[1]
    low, high = int(probe.labels.min()), int(probe.labels.max())
    if low < 0 or high >= classes:
        return f"expected labels from 0 to {classes - 1}, found {low} to {high}; number the classes as the model does"
    if total < ENOUGH:
        return None
    correct = int((probe.ask(probe.images).argmax(1).cpu() == probe.labels).sum())
    if p_above_chance(correct, total, classes) <= BY_CHANCE:
        return None
    found = f"{correct} of {total} with {classes} classes"
    remedy = "check the labels, and that the model itself normalises images in [0, 1]"
    return f"expected more right answers than by chance, found {found}; {remedy}"


class Check(NamedTuple):
    """A row of `CHECKS`."""

    run: Callable[[Probe], str | None]  # one line of what is wrong and what to do, or None
    refuses: bool  # or else it warns
    summary: str
    of_gradient: bool = False  # left out where no attack asks for it


# In this order: each may rely on those above it.
CHECKS: dict[str, Check] = {
    "evaluation-mode": Check(_evaluation_mode, True, "the model, its dropout and its normalisation are in eval()"),
    "shape": Check(_shape, True, "one row of at least two floating logits for each image"),
    "finite": Check(_finite, True, "no NaN and no infinity in the logits"),
    "logits": Check(_logits, True, "logits, not probabilities"),
    "deterministic": Check(_deterministic, True, "the same images twice have the same logits"),
    "neighbours": Check(_neighbours, False, "an image alone has the logits that it has in a batch"),
    "differentiable": Check(_differentiable, True, "the loss has a gradient by the image", of_gradient=True),
    "gradients": Check(_gradients, False, "this gradient is not zero", of_gradient=True),
    "labels": Check(_labels, False, "labels that the model knows, more of them right than by chance"),
}
