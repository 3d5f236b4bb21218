"""Verdicts as CASE/UCO JSON-LD: the file and its hash, the tool, the investigative action and its results."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from redhanded import __version__
from redhanded.bundle import CARD_FILE, Bundle
from redhanded.verdicts.statement import Judgement
from redhanded.verdicts.verdict import Failure, Verdict

Node = dict[str, Any]

_UCO = ("action", "analysis", "core", "observable", "tool", "types")
CONTEXT = {
    "investigation": "https://ontology.caseontology.org/case/investigation/",
    **{name: f"https://ontology.unifiedcyberontology.org/uco/{name}/" for name in _UCO},
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
UNKNOWN = "family: unknown"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "redhanded:case")


def write_case(answers: Sequence[Verdict | Failure], bundle: Bundle, time: datetime | None = None) -> str:
    """CASE 1.5 as JSON-LD, complete in itself; time: at which the analysis was over, now unless given."""
    about = {"core:name": "Redhanded", "tool:version": __version__, "tool:toolType": "attack attribution"}
    tool = _node("tool:AnalyticTool", about)
    card = _file(CARD_FILE, bundle.digest)  # it holds the hashes of all else in the bundle
    ended = _typed("dateTime", (time or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds"))
    nodes = [tool, card]
    for verdict in answers:
        if isinstance(verdict, Failure):
            continue
        files = [_file(*one) for one in zip(verdict.files, verdict.sha256, strict=True)]
        result = _result(Judgement.of(verdict, bundle))
        action = {
            "core:name": "attack attribution",
            "core:description": f"{verdict.name}: {verdict.knowledge}, {verdict.condition.pixels}",
            "action:instrument": [{"@id": node["@id"]} for node in (tool, card)],
            "action:object": [{"@id": file["@id"]} for file in files],
            "action:result": {"@id": result["@id"]},
        }
        nodes += [*files, result, _node("investigation:InvestigativeAction", action) | {"action:endTime": ended}]
    graph = list({node["@id"]: node for node in nodes}.values())
    return json.dumps({"@context": CONTEXT, "@graph": graph}, indent=2, ensure_ascii=False) + "\n"


def _file(name: str, sha256: str) -> Node:
    """A file and the hash of what it holds."""
    owner = [name, sha256]
    digest = {"types:hashMethod": "SHA256", "types:hashValue": _typed("hexBinary", sha256)}
    named = {"observable:fileName": PurePath(name).name, "observable:filePath": name}
    held = {"observable:hash": _node("types:Hash", digest, owner)}
    facets = [_node("observable:FileFacet", named, owner), _node("observable:ContentDataFacet", held, owner)]
    return _node("observable:File", {"core:hasFacet": facets})


def _result(judgement: Judgement) -> Node:
    """The result of an analysis: every name that is likeliest or not ruled out, and the analytic statement."""
    verdict = judgement.verdict
    owner = _iri(verdict.model_dump())
    classes: list[Node] = [{"analysis:class": UNKNOWN}] if verdict.unknown else []
    for dimension, finding in verdict.findings.items() if not verdict.unknown else ():
        for one in finding.ranked:
            if one.name in {finding.ranked[0].name, *finding.prediction_set}:
                confidence = _typed("decimal", f"{one.probability:.6f}")
                name = f"{dimension}: {one.name}"
                classes.append({"analysis:class": name, "analysis:classificationConfidence": confidence})
    named = [_node("analysis:ArtifactClassification", one, owner) for one in classes]
    facet = _node("analysis:ArtifactClassificationResultFacet", {"analysis:classification": named}, owner)
    content = {"core:statement": "\n".join(judgement.sentences()), "core:hasFacet": facet}
    return _node("analysis:AnalyticResult", content)


def _node(kind: str, content: Node, owner: Any = None) -> Node:
    """A node whose IRI is made of its content, and of what it belongs to."""
    return {"@id": _iri([kind, content, owner]), "@type": kind, **content}


def _iri(key: Any) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(key, sort_keys=True))}"


def _typed(kind: str, value: str) -> Node:
    return {"@type": f"xsd:{kind}", "@value": value}
