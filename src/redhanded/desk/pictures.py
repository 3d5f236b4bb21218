"""Pictures of verdicts' evidence, written beside one another."""

from collections.abc import Iterable
from pathlib import Path

from redhanded.bundle import Bundle
from redhanded.desk.attribute import Judged
from redhanded.desk.evidence import Evidence
from redhanded.desk.fingerprints import estimate_perturbations
from redhanded.desk.picture import draw_evidence
from redhanded.desk.records import Verdict
from redhanded.errors import DataError


def evidence_picture(bundle: Bundle, verdict: Verdict, evidence: Evidence, clean: Evidence | None = None) -> bytes:
    """The PNG of one verdict: its image, the estimated (or, with the clean reference, true) perturbation, examples."""
    true = clean is not None
    perturbation = evidence.image - clean.image if clean is not None else estimate_perturbations(evidence.image)
    best = verdict.findings["setting"].ranked[0] if "setting" in verdict.findings else None
    said = f"{best.name}: {best.probability:.0%}, {best.words}" if best else verdict.findings["family"].ranked[0].name
    nearest = [(f"known: {one.name}", bundle.examples[one.example].float() / 255) for one in verdict.nearest]
    title = f"{Path(verdict.name).name}   {said}" + ("   unknown" if verdict.unknown else "")
    return draw_evidence(evidence.image, perturbation, "true" if true else "estimated", nearest, title)


def write_pictures(bundle: Bundle, judged: Iterable[Judged], folder: Path, clean: Evidence | None) -> list[Path]:
    """One PNG for each verdict, named by its place, its file and the start of its SHA-256.

    Raises DataError where they cannot be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place, (verdict, evidence) in enumerate(judged):
            path = folder / f"{place:04}-{_plain(Path(evidence.file).stem)}-{evidence.sha256[:8]}.png"
            path.write_bytes(evidence_picture(bundle, verdict, evidence, clean))
            paths.append(path)
    except OSError as error:
        raise DataError(f"expected to write pictures to {folder}, found: {error.strerror or error}") from None
    return paths


def _plain(name: str) -> str:
    """What every file system takes."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_.=") else "_" for char in name[:80])
