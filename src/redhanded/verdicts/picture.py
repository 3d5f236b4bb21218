"""Pictures of the evidence: an image, its perturbation and spectrum, and the nearest known examples."""

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill

import torch
from matplotlib.figure import Figure
from torch import Tensor

from redhanded.bundle import Bundle
from redhanded.errors import DataError, writing
from redhanded.verdicts.evidence import Evidence
from redhanded.verdicts.examine import FileExaminer, Judged
from redhanded.verdicts.fingerprints import estimate_perturbations
from redhanded.verdicts.verdict import Verdict

_AMPLIFIED = 0.45  # how far from grey the largest value of a perturbation is drawn
_LINE = 40  # characters of a caption that are as wide as its panel


def draw_evidence(
    image: Tensor, perturbation: Tensor, source: str, nearest: Sequence[tuple[str, Tensor]], title: str
) -> bytes:
    """Draw the panels of one verdict as a PNG.

    image, perturbation: (1, c, h, w), the second estimated or true, as `source` says; nearest: captions and images
    (c, h, w) in [0, 1] of the examples. The spectrum is the mean over channels of the log amplitude, low frequencies
    in the middle.
    """
    times = _AMPLIFIED / perturbation.abs().max().clamp_min(1e-6).item()
    amplitude = torch.fft.fftshift(torch.fft.fft2(perturbation[0]), dim=(1, 2)).abs().mean(0).add(1e-6).log()
    low, high = amplitude.min(), amplitude.max()
    panels = [
        ("image", image[0]),
        (f"{source} perturbation, times {times:.3g}", 0.5 + perturbation[0] * times),
        ("its spectrum (log)", ((amplitude - low) / (high - low).clamp_min(1e-6))[None]),
        *nearest,
    ]
    figure = Figure(figsize=(2.1 * len(panels), 2.6), layout="constrained")
    figure.suptitle(_literal(title), fontsize=8, parse_math=False)
    for place, (caption, pixels) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        shown = pixels.clamp(0, 1)
        drawn = shown[0] if len(shown) == 1 else shown.permute(1, 2, 0)  # (h, w) or (h, w, 3)
        axes.imshow(drawn.numpy(), cmap="gray", interpolation="nearest", vmin=0, vmax=1)
        axes.set_title(fill(_literal(caption), _LINE), fontsize=6, parse_math=False)
        axes.set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _literal(text: str) -> str:
    """The text in characters that no font lacks: anything but printable ASCII is spelt out."""
    return ascii(text)[1:-1]


def evidence_picture(bundle: Bundle, verdict: Verdict, evidence: Evidence, clean: Evidence | None = None) -> bytes:
    """The PNG of one verdict: its image, the estimated (or, with the clean reference, true) perturbation, examples."""
    perturbation = estimate_perturbations(evidence.image) if clean is None else evidence.image - clean.image
    best = verdict.findings["setting"].ranked[0] if "setting" in verdict.findings else None
    best = best or verdict.findings["family"].ranked[0]
    answer = f"{best.name}: {best.probability:.0%}, {best.words}"
    if verdict.unknown:
        answer = f"unknown, {verdict.standing} {best.name}"
    nearest = []
    if len(bundle.examples):  # without them the nearest are known by their names alone
        nearest = [(f"known: {one.name}", bundle.examples[one.example].float() / 255) for one in verdict.nearest]
    title = f"{Path(verdict.name).name}   {answer}"
    return draw_evidence(evidence.image, perturbation, "estimated" if clean is None else "true", nearest, title)


def write_pictures(
    examiner: FileExaminer, judged: Iterable[Judged], folder: Path, clean: Evidence | None
) -> list[Path]:
    """One PNG for each verdict, named by its place, its file and the start of its SHA-256.

    Raises DataError where they cannot be written.
    """
    paths = []
    with writing(f"pictures to {folder}", DataError):
        folder.mkdir(parents=True, exist_ok=True)
        for place, (verdict, evidence) in enumerate(judged):
            stem = re.sub(r"[^A-Za-z0-9_.=-]", "_", Path(evidence.file).stem[:80])  # what every file system takes
            path = folder / f"{place:04}-{stem}-{evidence.sha256[:8]}.png"
            bundle = examiner.examiner_of(evidence).bundle
            path.write_bytes(evidence_picture(bundle, verdict, evidence, clean))
            paths.append(path)
    return paths
