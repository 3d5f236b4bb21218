"""Verdicts as a STIX 2.1 bundle: what was observed, which ATLAS technique was sighted in it, and how likely that is.

Every id is made from what the object says, so that the same verdicts, exported again, update and do not repeat.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import PurePath
from typing import Any

from redhanded import __version__
from redhanded.bundle import Bundle
from redhanded.core import Record
from redhanded.verdicts.atlas import ATLAS_VERSION, IMPLEMENTATION, TECHNIQUES
from redhanded.verdicts.statement import Confidence, Judgement, title
from redhanded.verdicts.verdict import Failure, Verdict

Said = dict[str, Any]  # a STIX object

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "redhanded:stix")
_PINNED = datetime(2026, 1, 1, tzinfo=UTC)  # of what is the same in every export


class Extension(Record):
    """The property extension of a sighting, or of a note where nothing was sighted."""

    verdict: Verdict
    analytic_confidence: Confidence  # in the method, as ICD 203 has it; `confidence` of a sighting is its likelihood
    bundle_sha256: str  # of the card of the bundle that judged
    atlas_version: str


def write_stix(found: Sequence[Verdict | Failure], bundle: Bundle, time: datetime | None = None) -> str:
    """The JSON of a STIX 2.1 bundle; time: of its making, now unless given. Needs `stix2` (the extra `intel`)."""
    import stix2

    time = time or datetime.now(UTC)
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)  # STIX's times are no finer
    writer = Writer(bundle.digest, time)
    said = writer.objects([Judgement.of(one, bundle) for one in found if isinstance(one, Verdict)])
    objects = [stix2.parse(one, version="2.1") for one in said]
    whole = stix2.Bundle(id=_id("bundle", [one["id"] for one in said]), objects=objects)
    return f"{whole.serialize(indent=2)}\n"  # pretty=True takes a time that grows with the square of the objects


@dataclass(frozen=True)
class Writer:
    """Says judgements in STIX, all at one time."""

    bundle: str  # digest of the bundle that judged
    time: datetime

    def objects(self, judgements: Sequence[Judgement]) -> list[Said]:
        """Everything, each object once; the report that names all others comes last."""
        said = [self.identity, self.definition]
        for judgement in judgements:
            said += self._of_one(judgement)
        objects = list({one["id"]: one for one in said}.values())
        attacked = sum(judgement.attacked for judgement in judgements)
        report = {
            "name": "Adversarial images and the attacks behind them",
            "description": f"{len(judgements)} verdicts, {attacked} of them that an attack of a known kind was seen.",
            "report_types": ["attack-pattern", "observed-data"],
            "object_refs": [one["id"] for one in objects],
            "created_by_ref": self.identity["id"],
        }
        return [*objects, _object("report", report, self.time) | {"published": self.time}]

    @cached_property
    def identity(self) -> Said:
        """Redhanded itself."""
        said = {
            "name": f"Redhanded {__version__}",
            "identity_class": "system",
            "description": "Names the technique and the tool behind an adversarial image, never people.",
        }
        return _object("identity", said, _PINNED)

    @cached_property
    def definition(self) -> Said:
        """Of our property extension."""
        said = {
            "name": "Redhanded verdict",
            "description": "The verdict on an image, or on several of one actor, and what judged; schema: JSON schema.",
            "schema": json.dumps(Extension.model_json_schema(), sort_keys=True),
            "version": "1.0.0",
            "extension_types": ["property-extension"],
            "created_by_ref": self.identity["id"],
        }
        return _object("extension-definition", said, _PINNED)

    def _of_one(self, judgement: Judgement) -> Iterator[Said]:
        """Files, what was observed, what was sighted in it, and a note that says so in words."""
        verdict = judgement.verdict
        files = [_file(*one) for one in zip(verdict.files, verdict.sha256, strict=True)]
        said = {
            "number_observed": verdict.images,
            "object_refs": list(dict.fromkeys(file["id"] for file in files)),
            "created_by_ref": self.identity["id"],
        }
        times = {"first_observed": self.time, "last_observed": self.time}
        key = [said, verdict.model_dump()]  # a file may hold several images
        observed = _object("observed-data", said, self.time, key) | times
        extension = Extension(
            verdict=verdict,
            analytic_confidence=judgement.confidence,
            bundle_sha256=self.bundle,
            atlas_version=ATLAS_VERSION,
        )
        extended = {"extension_type": "property-extension", **extension.model_dump()}
        extensions = {"extensions": {self.definition["id"]: extended}}  # of the first sighting, or else of the note
        yield from [*files, observed]
        sightings: list[Said] = []
        for what, likelihood in self._seen(judgement) if judgement.attacked else ():
            said = {
                "sighting_of_ref": what["id"],
                "observed_data_refs": [observed["id"]],
                "where_sighted_refs": [self.identity["id"]],
                "count": verdict.images,
                "confidence": min(99, max(1, round(100 * likelihood))),  # certainty is never claimed
                "created_by_ref": self.identity["id"],
                **({} if sightings else extensions),
            }
            sightings.append(_object("sighting", said, self.time))
            yield what
        yield from sightings
        sentences = judgement.sentences()
        said = {
            "abstract": sentences[0],
            "content": "\n".join(sentences),
            "authors": [self.identity["name"]],
            "object_refs": [one["id"] for one in (observed, *sightings)],
            "created_by_ref": self.identity["id"],
            **({} if sightings else extensions),
        }
        yield _object("note", said, self.time)

    def _seen(self, judgement: Judgement) -> Iterator[tuple[Said, float]]:
        """Techniques and tools, with their likelihoods: the technique of the attack first."""
        technique, likelihood = judgement.technique
        yield _attack_pattern(technique), likelihood
        family, toolchain = judgement.likeliest("family"), judgement.likeliest("toolchain")
        if family is not None:
            name = title(family.name)
            yield self._tool(name, f"An implementation of the attack {name}."), family.probability
        if toolchain is not None:
            yield _attack_pattern(IMPLEMENTATION), toolchain.probability
            yield self._tool(toolchain.name, "A library of attacks on classifiers."), toolchain.probability

    def _tool(self, name: str, description: str) -> Said:
        said = {
            "name": name,
            "description": description,
            "tool_types": ["exploitation"],
            "created_by_ref": self.identity["id"],
        }
        return _object("tool", said, _PINNED)


def _attack_pattern(technique: str) -> Said:
    """As MITRE published it, without its description."""
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


def _file(name: str, sha256: str) -> Said:
    """The standard itself says what the id of a file is made from."""
    import stix2

    said = {"type": "file", "spec_version": "2.1", "name": PurePath(name).name, "hashes": {"SHA-256": sha256}}
    return {**said, "id": stix2.parse(said, version="2.1").id}


def _object(kind: str, said: Said, time: datetime, key: Any = None) -> Said:
    """A STIX object whose id is made of what it says, or of a key where that is not all."""
    name = _id(kind, said if key is None else key)
    return {"type": kind, "spec_version": "2.1", "id": name, "created": time, "modified": time, **said}


def _id(kind: str, key: Any) -> str:
    return f"{kind}--{uuid.uuid5(_NAMESPACE, json.dumps([kind, key], sort_keys=True))}"
