"""The main table of a run for a terminal."""

from pathlib import Path

from rich.table import Table as RichTable
from rich.text import Text

from redhanded.report.figures import protocol_words
from redhanded.report.paper import rank
from redhanded.report.run import read_run
from redhanded.report.tables import Cell, build_sections
from redhanded.report.text import bounds, percent
from redhanded.studies import rows_by_item


def main_table(run: Path) -> RichTable:
    """Make the table of the first kind of question that was asked, under the first protocol it was asked under."""
    items = rows_by_item()
    tables = [table for section in build_sections(read_run(run)) for table in section.tables]
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


def _text_of(cell: Cell) -> Text:
    result, weak = cell.result, " weak" if cell.weak else ""
    paper = "" if cell.paper is None else f", paper {percent(cell.paper)}"
    reference = f"chance {percent(result.chance)}{paper}"
    if not cell.measured:
        return Text.assemble((result.status, "italic yellow"), weak, f"\n{reference}")
    style, mark = ("bold green", "✓") if cell.significant else ("bold", "n.s.")
    accuracy = (f"{percent(result.accuracy)} {mark}", style)
    return Text.assemble(accuracy, weak, f"\n{bounds(result.interval)}\n{reference}")
