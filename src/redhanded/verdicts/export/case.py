"""Verdicts as CASE/UCO JSON-LD: the file and its hash, the tool, the investigative action and what it found."""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


def write_case(found: Sequence[Verdict | Failure], bundle: Bundle, time: datetime | None = None) -> str:
    """CASE 1.5 as JSON-LD, complete in itself; time: at which the analysis was over, now unless given."""
    writer = Writer(bundle.digest, time or datetime.now(UTC))
    nodes = [writer.tool, writer.card]
    for verdict in found:
        nodes += writer.of_one(Judgement.of(verdict, bundle)) if isinstance(verdict, Verdict) else []
    graph = list({node["@id"]: node for node in nodes}.values())
    return json.dumps({"@context": CONTEXT, "@graph": graph}, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Writer:
    """Says judgements in CASE, all at one time."""

    bundle: str  # digest of the bundle that judged
    time: datetime

    @property
    def tool(self) -> Node:
        """Redhanded itself."""
        said = {"core:name": "Redhanded", "tool:version": __version__, "tool:toolType": "attack attribution"}
        return _node("tool:AnalyticTool", said)

    @property
    def card(self) -> Node:
        """Of the bundle that judged; it holds the hashes of all else in the bundle."""
        return _file(CARD_FILE, self.bundle)

    def of_one(self, judgement: Judgement) -> Iterator[Node]:
        """Files, what was found, and the action that led from one to the other."""
        verdict = judgement.verdict
        files = [_file(*one) for one in zip(verdict.files, verdict.sha256, strict=True)]
        result = _result(judgement)
        yield from [*files, result]
        said = {
            "core:name": "attack attribution",
            "core:description": f"{verdict.name}: {verdict.knowledge}, {verdict.condition.pixels}",
            "action:instrument": [_ref(self.tool), _ref(self.card)],
            "action:object": [_ref(file) for file in files],
            "action:result": _ref(result),
        }
        when = _typed("dateTime", self.time.astimezone(UTC).isoformat(timespec="milliseconds"))
        yield _node("investigation:InvestigativeAction", said) | {"action:endTime": when}


def _file(name: str, sha256: str) -> Node:
    """A file and the hash of what it holds."""
    owner = [name, sha256]
    digest = {"types:hashMethod": "SHA256", "types:hashValue": _typed("hexBinary", sha256)}
    named = {"observable:fileName": PurePath(name).name, "observable:filePath": name}
    held = {"observable:hash": _node("types:Hash", digest, owner)}
    facets = [_node("observable:FileFacet", named, owner), _node("observable:ContentDataFacet", held, owner)]
    return _node("observable:File", {"core:hasFacet": facets})


def _result(judgement: Judgement) -> Node:
    """Every name that is likeliest or cannot be ruled out, and the analytic statement."""
    owner = _iri(judgement.verdict.model_dump())
    classes = [_node("analysis:ArtifactClassification", said, owner) for said in _classes(judgement)]
    facet = _node("analysis:ArtifactClassificationResultFacet", {"analysis:classification": classes}, owner)
    said = {"core:statement": "\n".join(judgement.sentences()), "core:hasFacet": facet}
    return _node("analysis:AnalyticResult", said)


def _classes(judgement: Judgement) -> Iterator[Node]:
    if judgement.verdict.unknown:
        yield {"analysis:class": UNKNOWN}
        return
    for dimension, finding in judgement.verdict.findings.items():
        named = {finding.ranked[0].name, *finding.prediction_set}
        for one in finding.ranked:
            if one.name in named:
                confidence = _typed("decimal", f"{one.probability:.6f}")
                yield {"analysis:class": f"{dimension}: {one.name}", "analysis:classificationConfidence": confidence}


def _node(kind: str, said: Node, owner: Any = None) -> Node:
    """A thing whose IRI is made of what it says, and of what it belongs to."""
    return {"@id": _iri([kind, said, owner]), "@type": kind, **said}


def _iri(key: Any) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(key, sort_keys=True))}"


def _ref(node: Node) -> Node:
    return {"@id": node["@id"]}


def _typed(kind: str, value: str) -> Node:
    return {"@type": f"xsd:{kind}", "@value": value}
