"""The questions of the paper, and ours: classification tasks whose classes are selections of adversarial sets.

A question is built from the grid of a study alone. Which setting stands for an attack where the paper uses one is
chosen later, by `redhanded.studies.setting_choice`, from what was measured.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from redhanded.attacks import AttackSpec, title_of
from redhanded.sets import NO_VICTIM, SetRef, Split
from redhanded.studies.setting_choice import Choice

NORM_TITLES: dict[str, str] = {"l2": "L2", "linf": "Linf"}
SEEN = "every checkpoint seen"


class Selector(NamedTuple):
    """A selection of sets: every part that is given must agree; controls belong where they are asked for."""

    victim: str | tuple[str, ...] | None = None  # one, or any of some
    family: str | None = None
    norm: str | None = None
    setting: Literal["chosen", "any"] | tuple[tuple[str, float], ...] = "chosen"
    control: bool = False

    def pool(self, sets: Iterable[SetRef]) -> list[SetRef]:
        """List the sets that could belong, before one setting is chosen."""
        victims = (self.victim,) if isinstance(self.victim, str) else self.victim
        fixed = () if isinstance(self.setting, str) else self.setting
        return [
            ref
            for ref in sets
            if (victims is None or ref.victim in victims)
            and self.family in (None, ref.attack.family)
            and self.norm in (None, ref.attack.norm)
            and self.control == (ref.victim == NO_VICTIM)
            and all(ref.attack.setting.get(name) == value for name, value in fixed)
        ]

    def select(self, sets: Iterable[SetRef], chosen: Mapping[tuple[str, str], Choice]) -> list[SetRef]:
        """List the sets that belong, given the setting chosen for each (family, norm)."""
        pool = self.pool(sets)
        if self.setting != "chosen":
            return pool
        return [ref for ref in pool if ref.attack.label == chosen[ref.attack.family, ref.attack.norm].label]


@dataclass(frozen=True)
class Question:
    """A classification task: `classes` maps each class to the sets in it."""

    id: str
    item: str  # the paper's table or figure, or the kind's own name
    row: str
    column: str
    classes: dict[str, Selector]
    projected: bool = False  # with a picture of the features
    of_all: bool = False  # asked only of attributors that are fitted on all sets: to fit one for it alone costs as much
    held_out: tuple[str, ...] = ()  # victims that are asked about and never learned from, the others the reverse

    def shows(self, victim: str, split: Split) -> bool:
        """Whether a split has images of this victim."""
        return not self.held_out or (victim in self.held_out) == (split == "test")

    def chosen(self, sets: Sequence[SetRef]) -> list[tuple[str, str]]:
        """List each (family, norm) of which one setting is chosen, in the order of `sets`."""
        selectors = [selector for selector in self.classes.values() if selector.setting == "chosen"]
        return list(dict.fromkeys((ref.attack.family, ref.attack.norm) for one in selectors for ref in one.pool(sets)))

    def pool(self, sets: Sequence[SetRef]) -> list[SetRef]:
        """List every set that the answer can depend on, in the order of `sets`; a choice looks at all victims."""
        selectors = self.classes.values()
        wider = [one._replace(victim=None) if one.setting == "chosen" else one for one in selectors]
        needed = {ref for selector in wider for ref in selector.pool(sets)}
        return [ref for ref in sets if ref in needed]


class Grid(NamedTuple):
    """The victims, attacks and controls that the questions of a study are built from."""

    victims: Sequence[str]
    attacks: Sequence[AttackSpec]
    source: str
    controls: Sequence[AttackSpec] = ()
    architectures: Mapping[str, str] = {}

    @property
    def attack_norms(self) -> list[tuple[str, str]]:
        """Every (family, norm), in the paper's order."""
        return sorted({(attack.family, attack.norm) for attack in self.attacks})


def title(family: str, norm: str) -> str:
    """The title of an attack, e.g. `C&W L2`; a family whose title ends with its norm is not told it twice."""
    name, of_norm = title_of(family), NORM_TITLES.get(norm, norm)
    return name if name.endswith(f" {of_norm}") else f"{name} {of_norm}"


def algorithm(grid: Grid, item: str) -> Iterator[Question]:
    """Ask which algorithm, for each norm and victim: every family in that norm, or in the only norm it has."""
    for norm in sorted({norm for _, norm in grid.attack_norms}):
        first = dict(reversed(grid.attack_norms))  # of each family the first norm, the only one of some
        used = {family: norm if (family, norm) in grid.attack_norms else first[family] for family in sorted(first)}
        if norm not in used.values() or len(used) < 2:
            continue
        row = " · ".join(title(family, family_norm) for family, family_norm in used.items())
        for victim in grid.victims:
            classes = {family: Selector(victim, family, family_norm) for family, family_norm in used.items()}
            yield Question(f"algorithm-{norm}/{victim}", item, row, victim, classes)


def victim(grid: Grid, item: str) -> Iterator[Question]:
    """Ask which victim's gradients, for each attack and norm: all victims."""
    for family, norm in grid.attack_norms:
        classes = {name: Selector(name, family, norm) for name in grid.victims}
        yield Question(f"victim/{family}-{norm}", item, title(family, norm), grid.source, classes)


def architecture(grid: Grid, item: str) -> Iterator[Question]:
    """Ask which architecture, where each has several checkpoints: all of them seen, then one of each held out."""
    checkpoints: dict[str, list[str]] = {}
    for name, layers in grid.architectures.items():
        checkpoints.setdefault(layers, []).append(name)
    turns = min(map(len, checkpoints.values()), default=0)
    for family, norm in grid.attack_norms if turns > 1 else ():
        classes = {layers: Selector(tuple(names), family, norm) for layers, names in checkpoints.items()}
        place, row = f"architecture/{family}-{norm}", title(family, norm)
        yield Question(f"{place}/seen", item, row, SEEN, classes)
        for turn in range(turns):
            held_out = tuple(names[turn] for names in checkpoints.values())
            column = f"checkpoint {turn + 1} of each held out"
            yield Question(f"{place}/without-{turn + 1}", item, row, column, classes, held_out=held_out)


def setting(grid: Grid, item: str) -> Iterator[Question]:
    """Ask which setting, for each attack, norm and victim: all settings, and each parameter where there are several."""
    for family, norm in grid.attack_norms:
        specs = [attack for attack in grid.attacks if (attack.family, attack.norm) == (family, norm)]
        several, row = len(specs[0].setting_names) > 1, title(family, norm)
        settings = {", ".join(f"{name}={value}" for name, value in spec.setting.items()): spec for spec in specs}
        for name in grid.victims:
            classes = {text: _exactly(name, spec, spec.setting_names) for text, spec in settings.items()}
            shown = f"{row}, {len(specs)} settings" if several else row
            yield Question(f"setting/{family}-{norm}/{name}", item, shown, name, classes)
        for parameter in specs[0].setting_names if several else ():
            values = {f"{parameter}={spec.setting[parameter]}": spec for spec in specs}
            for name in grid.victims:
                classes = {value: _exactly(name, spec, (parameter,)) for value, spec in values.items()}
                place, shown = f"{parameter.replace('_', '-')}/{family}-{norm}", parameter.replace("_", " ")
                yield Question(f"{place}/{name}", item, f"{row}, {shown}", name, classes)


def norm(grid: Grid, item: str) -> Iterator[Question]:
    """Ask which norm, for each family that has several, and each victim."""
    for family in dict.fromkeys(family for family, _ in grid.attack_norms):
        norms = [norm for other, norm in grid.attack_norms if other == family]
        for name in grid.victims if len(norms) > 1 else ():
            classes = {norm: Selector(name, family, norm) for norm in norms}
            yield Question(f"norm/{family}/{name}", item, title_of(family), name, classes)


def attack_and_victim(grid: Grid, item: str) -> Iterator[Question]:
    """Ask which algorithm and victim at once, among the L2 attacks."""
    families = [family for family, norm in grid.attack_norms if norm == "l2"]
    classes = {
        f"{title(family, 'l2')} {name}": Selector(name, family, "l2") for family in families for name in grid.victims
    }
    yield Question("attack-and-victim", item, "algorithm and victim", grid.source, classes)


def attack_and_setting(grid: Grid, item: str) -> Iterator[Question]:
    """Ask which algorithm and setting at once, among a victim's L2 attacks."""
    specs = [attack for attack in grid.attacks if attack.norm == "l2"]
    for name in grid.victims:
        classes = {spec.label: _exactly(name, spec, spec.setting_names) for spec in specs}
        yield Question(f"attack-and-setting/{name}", item, "algorithm and setting", name, classes, projected=True)


def joint(grid: Grid, item: str) -> Iterator[Question]:
    """Ask which algorithm, norm and victim at once, all settings together: what `attribute` starts from."""
    classes = {
        f"{family}-{norm}/{name}": Selector(name, family, norm, "any")
        for family, norm in grid.attack_norms
        for name in grid.victims
    }
    yield Question("joint", item, "algorithm, norm and victim", grid.source, classes)


# What the question `dimension` asks of all sets at once: three dimensions of an answer, and the very set.
ASKED_OF_ALL = ("family", "norm", "victim", "set")


def dimension(grid: Grid, item: str) -> Iterator[Question]:
    """Ask each dimension of an answer by itself, over all sets: family (or a control), norm, victim, the very set."""
    families = {family: Selector(family=family, setting="any") for family, _ in grid.attack_norms}
    control = {"control": Selector(setting="any", control=True)} if grid.controls else {}
    norms = {norm: Selector(norm=norm, setting="any") for norm in sorted({norm for _, norm in grid.attack_norms})}
    victims = {name: Selector(name, setting="any") for name in grid.victims}
    pairs = [(name, spec) for name in grid.victims for spec in grid.attacks]
    sets = {SetRef(name, spec).name: _exactly(name, spec, spec.setting_names) for name, spec in pairs}
    parts = dict(zip(ASKED_OF_ALL, (families | control, norms, victims, sets), strict=True))
    for part, classes in parts.items():
        yield Question(f"dimension/{part}", item, part, grid.source, classes, of_all=True)


def _exactly(victim: str, spec: AttackSpec, parameters: Sequence[str]) -> Selector:
    return Selector(victim, spec.family, spec.norm, tuple((name, spec.setting[name]) for name in parameters))


class QuestionKind(NamedTuple):
    """A row of `QUESTIONS`: its builder, its texts, and what a report draws beside its accuracies."""

    build: Callable[[Grid, str], Iterator[Question]]
    title: str  # of its table where it is none of the paper's
    asks: str
    summary: str
    items: dict[str, str] = {}  # noqa: RUF012 (never written) - the paper's table or figure, for each of its sources
    per_class: bool = False  # a second table with the accuracy of each class
    confusion: bool = False  # a confusion matrix for each of its results
    projection: bool = False  # a picture of the features behind each of its results
    reliability: bool = False  # one of what the probabilities of its results are worth


QUESTIONS: dict[str, QuestionKind] = {  # in the order of a report
    "algorithm": QuestionKind(
        algorithm,
        title="Algorithm",
        asks="Which algorithm made the image?",
        summary="which attack algorithm",
        items={"cifar10": "table2", "mnist": "table3"},
        per_class=True,
    ),
    "attack-and-victim": QuestionKind(
        attack_and_victim,
        title="Algorithm and victim",
        asks="Which algorithm made the image, and from which victim's gradients?",
        summary="algorithm and victim at once, L2",
        items={"cifar10": "figure4", "mnist": "figure5"},
        confusion=True,
    ),
    "attack-and-setting": QuestionKind(
        attack_and_setting,
        title="Algorithm and setting",
        asks="Which algorithm and hyperparameters made the image?",
        summary="algorithm and setting at once, L2, with its features",
        items={"cifar10": "figure6"},
        projection=True,
    ),
    "victim": QuestionKind(
        victim,
        title="Victim",
        asks="Which victim's gradients made the image?",
        summary="which model's gradients",
        items={"cifar10": "table4", "mnist": "table4"},
    ),
    "architecture": QuestionKind(
        architecture,
        title="Architecture",
        asks="Which architecture's gradients made the image, and is it known in an unseen checkpoint "
        "(not in the paper)?",
        summary="which architecture, seen and in a checkpoint that was not",
    ),
    "setting": QuestionKind(
        setting,
        title="Setting",
        asks="Which hyperparameters made the image?",
        summary="which setting of the attack",
        items={"cifar10": "table5", "mnist": "table6"},
    ),
    "norm": QuestionKind(
        norm,
        title="Norm",
        asks="In which norm was the attack optimised?",
        summary="L2 or Linf",
        items={"cifar10": "table7", "mnist": "table8"},
        per_class=True,
    ),
    "joint": QuestionKind(
        joint,
        title="Joint",
        asks="Algorithm, norm and victim at once, all settings pooled (not in the paper)",
        summary="algorithm, norm and victim at once, all settings",
        confusion=True,
    ),
    "dimension": QuestionKind(
        dimension,
        title="Each dimension",
        asks="Family (or a control), norm, victim, and the very set, each over all sets (not in the paper)",
        summary="each dimension over all sets, controls included, and the very set",
        reliability=True,
    ),
}


def build_questions(kinds: Sequence[str], grid: Grid, paper: str | None) -> list[Question]:
    """Build the questions of some kinds over a grid; `paper` is the paper's source whose tables number them.

    What a grid leaves no choice about (the victim, where there is one) is not asked.
    """
    return [
        question
        for name in kinds
        for question in QUESTIONS[name].build(grid, QUESTIONS[name].items.get(paper or "", name))
        if len(question.classes) > 1
    ]


def rows_by_item() -> dict[str, QuestionKind]:
    """The row behind each `Question.item`, in the order of a report; the paper's items under their names there."""
    rows: dict[str, QuestionKind] = {}
    for name, row in QUESTIONS.items():
        for item in row.items.values():
            rows[item] = row._replace(title=re.sub(r"(?=\d)", " ", item, count=1).capitalize())  # table2: Table 2
        rows[name] = row
    return rows
