"""The tables of a report, made from its records without text or drawing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from redhanded.core import holm
from redhanded.data import PIXELS, Pixels
from redhanded.report.paper import printed_numbers, rank, victim_rank
from redhanded.report.run import Records, victims_of
from redhanded.studies import ClassScore, QuestionKind, Result, rows_by_item

LEVEL = 0.05


class Protocol(NamedTuple):
    """The protocol that results must share to stand in one table."""

    pixels: Pixels
    source: str
    attributor: str
    knowledge: str


class ClassLine(NamedTuple):
    """One class of a cell beside the paper's number for it."""

    name: str
    score: ClassScore
    paper: float | None


@dataclass(frozen=True)
class Cell:
    """A result with what it is compared to."""

    result: Result
    p_holm: float | None  # None where there is no test: collapsed or too few images
    paper: float | None
    weak: tuple[str, ...]  # victims of this question that are too weak
    classes: tuple[ClassLine, ...]

    @property
    def measured(self) -> bool:
        """Whether the result has a number to show."""
        return self.result.status == "measured"

    @property
    def significant(self) -> bool:
        """Whether the accuracy is above chance after the correction over its table."""
        return self.p_holm is not None and self.p_holm < LEVEL

    @property
    def difference(self) -> float | None:
        """Our accuracy less the paper's; no test stands behind it."""
        accuracy = self.result.accuracy if self.measured else None
        return None if accuracy is None or self.paper is None else accuracy - self.paper


@dataclass(frozen=True)
class Table:
    """The results of one item under one protocol; a place of the grid holds one cell a seed, or none."""

    key: str  # Result.item
    item: QuestionKind
    protocol: Protocol
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    grid: dict[tuple[str, str], tuple[Cell, ...]]

    @property
    def places(self) -> list[tuple[Cell, ...]]:
        """The cells of each place, row by row."""
        places = [(row, column) for row in self.rows for column in self.columns]
        return [self.grid[place] for place in places if place in self.grid]

    @property
    def cells(self) -> list[Cell]:
        """Every cell, row by row."""
        return [cell for cells in self.places for cell in cells]

    def class_rows(self) -> list[tuple[str, str]]:
        """The rows of the per-class table: (row, class), classes in the question's order."""
        return list(dict.fromkeys((cell.result.row, line.name) for cell in self.cells for line in cell.classes))

    def class_lines(self, row: str, column: str, name: str) -> list[ClassLine]:
        """The lines of one place of the per-class table."""
        cells = self.grid.get((row, column), ())
        return [line for cell in cells for line in cell.classes if line.name == name]


@dataclass(frozen=True)
class Section:
    """All tables of one protocol."""

    protocol: Protocol
    tables: tuple[Table, ...]

    @property
    def cells(self) -> list[Cell]:
        """Every cell, table by table."""
        return [cell for table in self.tables for cell in table.cells]


def build_sections(records: Records) -> list[Section]:
    """Build sections by pixel protocol, source, attributor and knowledge, protocols and tables in the order of rows."""
    items = rows_by_item()
    groups: dict[Protocol, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in records.results:
        protocol = Protocol(result.pixels, result.source, result.attributor, result.knowledge)
        groups[protocol][result.item].append(result)
    return [
        Section(protocol, tuple(_table(protocol, key, items[key], groups[protocol][key], records) for key in keys))
        for protocol in sorted(groups, key=lambda protocol: (rank(protocol.pixels, PIXELS), protocol))
        for keys in [sorted(groups[protocol], key=lambda key: rank(key, items))]
    ]


def _table(protocol: Protocol, key: str, item: QuestionKind, results: Sequence[Result], records: Records) -> Table:
    p_values = [result.p_value for result in results if result.status == "measured" and result.p_value is not None]
    corrected = iter(holm(p_values))
    grid: dict[tuple[str, str], tuple[Cell, ...]] = defaultdict(tuple)
    for result in results:
        measured = result.status == "measured"
        printed = printed_numbers(result.source).get(result.question)
        cell = Cell(
            result=result,
            p_holm=next(corrected) if measured else None,
            paper=printed.accuracy if printed else None,
            weak=tuple(sorted(victims_of(result) & records.weak, key=victim_rank)),
            classes=tuple(_class_lines(result, printed.per_class if printed else {}, records)) if measured else (),
        )
        grid[result.row, result.column] += (cell,)
    rows = tuple(sorted({row for row, _ in grid}))
    columns = tuple(sorted({column for _, column in grid}, key=victim_rank))
    return Table(key, item, protocol, rows, columns, dict(grid))


def _class_lines(result: Result, printed: Mapping[str, float], records: Records) -> Iterator[ClassLine]:
    for name in result.classes:
        if name in result.per_class:
            # The paper may print a class under its own name, its sets' algorithm or their norm.
            sets = [records.set_by_name[member] for member in result.sets.get(name, [])]
            words = {name} | {card.family for card in sets} | {card.norm for card in sets}
            paper = next((number for word, number in printed.items() if word in words), None)
            yield ClassLine(name, result.per_class[name], paper)
