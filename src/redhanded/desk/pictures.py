"""Pictures of verdicts' evidence, written beside one another."""

from collections.abc import Iterable
from pathlib import Path

from redhanded.bundle import Bundle
from redhanded.desk.attribute import Judged
from redhanded.desk.evidence import Evidence
from redhanded.desk.fingerprints import estimate_perturbation
from redhanded.desk.picture import draw_evidence
from redhanded.desk.records import Verdict


def evidence_picture(bundle: Bundle, verdict: Verdict, evidence: Evidence, clean: Evidence | None = None) -> bytes:
    """The PNG of one verdict: its image, the estimated (or, with the clean reference, true) perturbation, examples."""
    true = clean is not None
    perturbation = evidence.image - clean.image if clean is not None else estimate_perturbation(evidence.image)
    best = verdict.findings["setting"].ranked[0] if "setting" in verdict.findings else None
    said = f"{best.name}: {best.probability:.0%}, {best.words}" if best else verdict.findings["family"].ranked[0].name
    nearest = [(f"known: {one.name}", bundle.examples[one.example].float() / 255) for one in verdict.nearest]
    title = f"{Path(verdict.name).name}   {said}" + ("   unknown" if verdict.unknown else "")
    return draw_evidence(evidence.image, perturbation, "true" if true else "estimated", nearest, title)


def write_pictures(bundle: Bundle, judged: Iterable[Judged], folder: Path, clean: Evidence | None) -> list[Path]:
    """One PNG for each verdict, named by the file and the start of its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for verdict, evidence in judged:
        path = folder / f"{Path(evidence.name).stem}-{evidence.sha256[:8]}.png"
        path.write_bytes(evidence_picture(bundle, verdict, evidence, clean))
        paths.append(path)
    return paths
