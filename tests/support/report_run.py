"""A realistic run directory made of records alone, nothing trained or attacked, and a reader of its page."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zlib import crc32

import numpy as np
import torch

from redhanded.attacks import FGSM, AttackSpec, CarliniWagner, DeepFool
from redhanded.core import p_above_chance, wilson_interval, write_record
from redhanded.data import Pixels
from redhanded.engine import RunCard
from redhanded.models import VictimCard
from redhanded.sets import GALLERY_FILE, Gallery, SetCard, SetRef
from redhanded.studies import QUESTIONS, ClassScore, Question, Result, build_questions, choose_settings
from redhanded.studies.questions import Grid

QUESTIONS_BELOW = Path("results") / "questions"
VICTIMS = {"alexnet": (0.981, 0.25), "vgg16": (0.973, 0.25), "resnet50": (0.61, 0.125)}  # accuracy, width
WEAK = "resnet50"
N_TEST = 200
COLLAPSED = ("setting/deepfool-l2/alexnet", "float32")
TOO_FEW = ("norm/deepfool/vgg16", "uint8")


def attacks() -> list[AttackSpec]:
    """The paper's grid."""
    return [
        *(FGSM(norm="l2", eps=eps) for eps in (1.0, 2.0, 5.0)),
        *(FGSM(norm="linf", eps=eps) for eps in (0.03, 0.1, 0.2)),
        *(DeepFool(norm=norm, overshoot=o) for norm in ("l2", "linf") for o in (0.01, 0.1, 1.0)),
        *(CarliniWagner(learning_rate=a, confidence=c) for a in (0.1, 0.2, 0.5) for c in (0.01, 0.1, 1.0)),
    ]


def make_run(
    run: Path,
    *,
    source: str = "mnist5k",
    names: Sequence[str] = tuple(VICTIMS),
    kinds: Sequence[str] = tuple(QUESTIONS),
    architectures: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write the records of a whole run and return its directory."""
    cards = [card for name in names for spec in attacks() for card in _set_cards(name, spec)]
    write_record(_run_card(), run / "run.json")
    for name in names:
        card = _victim(name, source, architectures.get(name, name))
        write_record(card, run / "results" / "victims" / f"{name}.json")
    for card in cards:
        write_record(card, run / "results" / "sets" / card.victim / card.split / f"{card.label}.json")
    draw = torch.Generator().manual_seed(0)
    clean, *made = torch.rand((6, 1, 16, 16), generator=draw)
    labels = ("carlini_wagner-l2", "deepfool-l2", "deepfool-linf", "fgsm-l2-eps=5.0", "fgsm-linf-eps=1e-05")
    Gallery(WEAK, 7, clean, dict(zip(labels, made, strict=True))).save(run / GALLERY_FILE)
    grid = Grid(list(names), attacks(), source, architectures=architectures)
    paper = {"mnist5k": "mnist", "cifar10": "cifar10"}.get(source)
    for pixels in ("float32", "uint8"):
        for question in build_questions(kinds, grid, paper):
            if question.of_all:  # the attributor of these records was fitted on each question
                continue
            result = _result(question, grid, pixels, cards)
            write_record(result, run / "results" / "questions" / pixels / f"{question.id}.json")
    return run


def _run_card() -> RunCard:
    return RunCard(
        study={
            "name": "first",
            "size": {"train": 2000, "test": 400, "width": {"alexnet": 0.25, "resnet50": 0.125}},
        },
        scale="laptop",
        command="redhanded run paper --scale laptop",
        version="0.1.0",
        commit="7a3b03e",
        started="2026-11-22T09:00:00Z",
        seconds=5432.1,
        finished=True,
        hardware={"processor": "a processor", "instructions": "VECTORS", "cores": "2", "memory": "8 GB"},
        packages={"torch": "2.6.0", "numpy": "2.1.0"},
    )


def _victim(name: str, source: str, architecture: str) -> VictimCard:
    accuracy, width = VICTIMS.get(name, (0.95, 0.25))
    return VictimCard(
        name=name,
        architecture=architecture,
        width=width,
        source=source,
        source_digest="d",
        seed=0,
        classes=10,
        shape=(1, 32, 32),
        parameters=1_234_567,
        training={"epochs": 3},
        accuracy=accuracy,
        n_test=1000,
        interval=wilson_interval(round(1000 * accuracy), 1000),
        weak_below=0.9,
        weights_digest="w",
        seconds=60.0,
    )


def _set_cards(victim: str, spec: AttackSpec) -> list[SetCard]:
    draw = np.random.default_rng(crc32(f"{victim}{spec.label}".encode()))
    strength = draw.uniform(0.6, 1.0)
    return [
        SetCard(
            victim=victim,
            family=spec.family,
            norm=spec.norm,
            setting=spec.setting,
            attack=str(spec),
            label=spec.label,
            split=split,
            n_images=n,
            n_attacked=n - 9,
            n_success={"float32": int(strength * (n - 9)), "uint8": int(0.8 * strength * (n - 9))},
            median_l2=float(draw.uniform(0.2, 3.0)),
            median_linf=float(draw.uniform(0.02, 0.3)),
            mean_steps=float(draw.uniform(1, 60)),
            seconds=2.0,
        )
        for split, n in (("train", 2000), ("test", 400))
    ]


def _result(question: Question, grid: Grid, pixels: Pixels, cards: list[SetCard]) -> Result:
    place = (question.id, pixels)
    status = {COLLAPSED: "collapsed", TOO_FEW: "too few images"}.get(place, "measured")
    counts = _counts(question, pixels, collapsed=status == "collapsed")
    k, correct, total = len(question.classes), int(np.trace(counts)), int(counts.sum())
    chosen = choose_settings(cards, pixels)
    refs = [SetRef(victim, spec) for victim in grid.victims for spec in grid.attacks]
    measured = status == "measured"
    return Result(
        study="first",
        source=grid.source,
        question=question.id,
        item=question.item,
        row=question.row,
        column=question.column,
        attributor="cnn6",
        knowledge="blind",
        pixels=pixels,
        seed=0,
        status=status,
        classes=list(question.classes),
        sets={name: [ref.name for ref in one.select(refs, chosen)] for name, one in question.classes.items()},
        design="paired" if k < 5 else "equal",
        n_train=800,
        n_test=N_TEST if status != "too few images" else 7,
        chance=1 / k,
        accuracy=correct / total if measured else None,
        interval=wilson_interval(correct, total) if measured else None,
        p_value=p_above_chance(correct, total, k) if measured else None,
        per_class=_scores(list(question.classes), counts) if measured else {},
        confusion=counts.tolist() if status != "too few images" else [],
        projection=[(i / (k * N_TEST), i // N_TEST / k) for i in range(k * N_TEST)] if question.projected else [],
        attempts=3 if status == "collapsed" else 1,
        seconds=31.5,
    )


def _counts(question: Question, pixels: Pixels, *, collapsed: bool) -> np.ndarray:
    k = len(question.classes)
    draw = np.random.default_rng(crc32(f"{question.id}{pixels}".encode()))
    if collapsed:
        return np.eye(k, dtype=int)[np.zeros(k, dtype=int)] * N_TEST
    skill = draw.choice([0.02, 0.3, 0.6, 0.9]) * (1.0 if pixels == "float32" else 0.8)
    chances = skill * np.eye(k) + (1 - skill) * draw.dirichlet(np.full(k, 2.0), size=k)
    return np.stack([draw.multinomial(N_TEST, row / row.sum()) for row in chances])


def _scores(names: list[str], counts: np.ndarray) -> dict[str, ClassScore]:
    rows = [(int(counts[i, i]), int(counts[i].sum())) for i in range(len(names))]
    return {
        name: ClassScore(correct=right, total=n, accuracy=right / n, interval=wilson_interval(right, n))
        for name, (right, n) in zip(names, rows, strict=True)
    }


class Page(HTMLParser):
    """What a report's HTML holds: its links, tags, ids, tables as text, images' texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[dict[str, Any]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append({"caption": "", "cells": [], "heads": []})
        if tag in ("td", "th") and self.tables:
            self.tables[-1]["cells"].append("")
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "caption" in self._open:
            self.tables[-1]["caption"] += data
        elif "td" in self._open or "th" in self._open:
            self.tables[-1]["cells"][-1] += data

    def cells(self, *words: str) -> str:
        """The text of every cell of the tables whose caption has all the words."""
        found = [table for table in self.tables if all(word in table["caption"] for word in words)]
        assert found, words
        return " | ".join(" ".join(cell.split()) for table in found for cell in table["cells"])


def html(run: Path) -> str:
    return (run / "report" / "report.html").read_text(encoding="utf-8")


def markdown(run: Path) -> str:
    return (run / "report" / "report.md").read_text(encoding="utf-8")


def sheet(run: Path) -> list[dict[str, str]]:
    with (run / "report" / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def change(run: Path, question: str, edit: Callable[[dict[str, Any]], None], pixels: str = "float32") -> Path:
    path = run / QUESTIONS_BELOW / pixels / f"{question}.json"
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
    return path
