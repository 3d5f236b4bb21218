"""Verdicts as a STIX 2.1 bundle: what was observed, which ATLAS technique was sighted in it, and how likely that is.

Every id is made from the object's content, so that the same verdicts, exported again, update and do not repeat.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from redhanded import __version__
from redhanded.bundle import Bundle
from redhanded.core import Record
from redhanded.verdicts.atlas import ATLAS_VERSION, IMPLEMENTATION, TECHNIQUES
from redhanded.verdicts.statement import Confidence, Judgement, title
from redhanded.verdicts.verdict import Failure, Verdict

StixObject = dict[str, Any]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "redhanded:stix")
_PINNED = datetime(2026, 1, 1, tzinfo=UTC)  # of what is the same in every export


class Extension(Record):
    """The property extension of a sighting, or of a note where nothing was sighted."""

    verdict: Verdict
    analytic_confidence: Confidence  # in the method, as ICD 203 has it; `confidence` of a sighting is its likelihood
    bundle_sha256: str  # of the card of the bundle that judged
    atlas_version: str


def write_stix(answers: Sequence[Verdict | Failure], bundle: Bundle, time: datetime | None = None) -> str:
    """The JSON of a STIX 2.1 bundle; time: of its making, now unless given. Needs `stix2` (the extra `intel`)."""
    import stix2

    time = time or datetime.now(UTC)
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)  # STIX's times are no finer
    content = {
        "name": "Redhanded verdict",
        "description": "The verdict on an image, or on several of one actor, and what judged; schema: JSON schema.",
        "schema": json.dumps(Extension.model_json_schema(), sort_keys=True),
        "version": "1.0.0",
        "extension_types": ["property-extension"],
    }
    definition = _object("extension-definition", content, _PINNED)
    judgements = [Judgement.of(one, bundle) for one in answers if isinstance(one, Verdict)]
    objects = [_IDENTITY, definition]
    for judgement in judgements:
        objects += _objects_of(judgement, bundle, definition["id"], time)
    objects = list({one["id"]: one for one in objects}.values())
    attacked = sum(judgement.attacked for judgement in judgements)
    content = {
        "name": "Adversarial images and the attacks behind them",
        "description": f"{len(judgements)} verdicts, {attacked} of them that an attack of a known kind was seen.",
        "report_types": ["attack-pattern", "observed-data"],
        "object_refs": [one["id"] for one in objects],
    }
    objects.append(_object("report", content, time) | {"published": time})
    whole = stix2.Bundle(
        id=_id("bundle", [one["id"] for one in objects]), objects=[stix2.parse(one, version="2.1") for one in objects]
    )
    return f"{whole.serialize(indent=2)}\n"  # pretty=True takes a time that grows with the square of the objects


def _objects_of(judgement: Judgement, bundle: Bundle, definition: str, time: datetime) -> Iterator[StixObject]:
    """The files, what was observed, what was sighted in it, and a note; definition: the id of that of our extension."""
    verdict = judgement.verdict
    files = [_file(*one) for one in zip(verdict.files, verdict.sha256, strict=True)]
    content = {
        "number_observed": verdict.images,
        "object_refs": list(dict.fromkeys(file["id"] for file in files)),
    }
    observed = _object("observed-data", content, time, verdict.model_dump())  # a file may hold several images
    yield from [*files, observed | {"first_observed": time, "last_observed": time}]
    extension = Extension(
        verdict=verdict,
        analytic_confidence=judgement.confidence,
        bundle_sha256=bundle.digest,
        atlas_version=ATLAS_VERSION,
    )
    extended = {"extension_type": "property-extension", **extension.model_dump()}
    extensions = {"extensions": {definition: extended}}  # of the first sighting, or else of the note
    sightings: list[StixObject] = []
    for sighted, likelihood in _sighted(judgement) if judgement.attacked else ():
        content = {
            "sighting_of_ref": sighted["id"],
            "observed_data_refs": [observed["id"]],
            "where_sighted_refs": [_IDENTITY["id"]],
            "count": verdict.images,
            "confidence": min(99, max(1, round(100 * likelihood))),  # certainty is never claimed
            **({} if sightings else extensions),
        }
        sightings.append(_object("sighting", content, time))
        yield sighted
    yield from sightings
    sentences = judgement.sentences()
    content = {
        "abstract": sentences[0],
        "content": "\n".join(sentences),
        "authors": [_IDENTITY["name"]],
        "object_refs": [one["id"] for one in (observed, *sightings)],
        **({} if sightings else extensions),
    }
    yield _object("note", content, time)


def _sighted(judgement: Judgement) -> Iterator[tuple[StixObject, float]]:
    """The techniques and tools that were sighted, with their likelihoods: the technique of the attack first."""
    technique, likelihood = judgement.technique
    yield _attack_pattern(technique), likelihood
    family, toolchain = judgement.likeliest("family"), judgement.likeliest("toolchain")
    if family is not None:
        name = title(family.name)
        yield _tool(name, f"An implementation of the attack {name}."), family.probability
    if toolchain is not None:
        yield _attack_pattern(IMPLEMENTATION), toolchain.probability
        yield _tool(toolchain.name, "A library of attacks on classifiers."), toolchain.probability


def _tool(name: str, description: str) -> StixObject:
    return _object("tool", {"name": name, "description": description, "tool_types": ["exploitation"]}, _PINNED)


def _attack_pattern(technique: str) -> StixObject:
    """The technique as MITRE published it, without its description."""
    row = TECHNIQUES[technique]
    url = f"https://atlas.mitre.org/techniques/{technique}"
    return {
        "type": "attack-pattern",
        "spec_version": "2.1",
        "id": row.stix,
        "created": row.created,
        "modified": row.modified,
        "name": row.name,
        "kill_chain_phases": [{"kill_chain_name": "mitre-atlas", "phase_name": row.phase}],
        "external_references": [{"source_name": "mitre-atlas", "external_id": technique, "url": url}],
    }


def _file(name: str, sha256: str) -> StixObject:
    """A file; the standard itself says what its id is made from."""
    import stix2

    content = {"type": "file", "spec_version": "2.1", "name": PurePath(name).name, "hashes": {"SHA-256": sha256}}
    return {**content, "id": stix2.parse(content, version="2.1").id}


def _object(kind: str, content: StixObject, time: datetime, owner: Any = None) -> StixObject:
    """A STIX object of ours whose id is made of its content, and of what it belongs to."""
    if kind != "identity":
        content = {**content, "created_by_ref": _IDENTITY["id"]}
    name = _id(kind, content if owner is None else [content, owner])
    return {"type": kind, "spec_version": "2.1", "id": name, "created": time, "modified": time, **content}


def _id(kind: str, key: Any) -> str:
    return f"{kind}--{uuid.uuid5(_NAMESPACE, json.dumps([kind, key], sort_keys=True))}"


_IDENTITY = _object(
    "identity",
    {
        "name": f"Redhanded {__version__}",
        "identity_class": "system",
        "description": "Names the technique and the tool behind an adversarial image, never people.",
    },
    _PINNED,
)
