"""The main table of a run for a terminal."""

from pathlib import Path

from rich.table import Table as RichTable
from rich.text import Text

from redhanded.report.axes import FATES, AxisSection, best_sections, build_axis_sections
from redhanded.report.figures import protocol_words
from redhanded.report.paper import rank
from redhanded.report.run import read_run
from redhanded.report.tables import Cell, build_sections
from redhanded.report.text import ABSENT, averaged, bounds, percent
from redhanded.studies import rows_by_item


def main_table(run: Path) -> RichTable:
    """Make the table of the first kind of question that was asked, under the first protocol it was asked under.

    Of a run without questions the axes, as the attributor answers that names the most families on `known`.
    """
    items, records = rows_by_item(), read_run(run)
    tables = [table for section in build_sections(records) for table in section.tables]
    if not tables:
        return _axes(best_sections(build_axis_sections(records))[0])
    table = min(tables, key=lambda table: rank(table.key, items))
    rich = RichTable(
        title=Text(f"{table.item.title}: {table.item.asks}"),
        caption=Text(
            f"{protocol_words(table.protocol)}. Accuracy in per cent with its 95 % interval; "
            "✓ above chance after Holm's correction, n.s. not; weak: a victim too inaccurate to say much."
        ),
        show_lines=True,
    )
    for column in ("", *table.columns):
        rich.add_column(Text(column))
    for row in table.rows:
        cells = [Text("\n").join(map(_text_of, table.grid.get((row, column), ()))) for column in table.columns]
        rich.add_row(Text(row), *cells)
    return rich


def _axes(section: AxisSection) -> RichTable:
    fates = ("relied_on", "sure_and_wrong", "all_clear", "accused")
    rich = RichTable(
        title=Text("Along the axes"),
        caption=Text(f"{protocol_words(section.protocol)}. Per cent; kind and family: mean recall, its 95 % interval."),
    )
    rich.add_column(Text("axis"))
    for column in ("kind", "family", *(FATES[name].title for name in fates)):
        rich.add_column(Text(column), justify="right")
    for line in section.lines:
        recalls = [line.recalls.get(name) for name in ("kind", "family")]
        texts = [f"{averaged(one.each)}\n{bounds(one.interval)}" if one else ABSENT for one in recalls]
        rich.add_row(Text(line.title), *map(Text, [*texts, *(averaged(line.fates[name]) for name in fates)]))
    return rich


def _text_of(cell: Cell) -> Text:
    result, weak = cell.result, " weak" if cell.weak else ""
    paper = "" if cell.paper is None else f", paper {percent(cell.paper)}"
    reference = f"chance {percent(result.chance)}{paper}"
    if not cell.measured:
        return Text.assemble((result.status, "italic yellow"), weak, f"\n{reference}")
    style, mark = ("bold green", "✓") if cell.significant else ("bold", "n.s.")
    accuracy = (f"{percent(result.accuracy)} {mark}", style)
    return Text.assemble(accuracy, weak, f"\n{bounds(result.interval)}\n{reference}")
