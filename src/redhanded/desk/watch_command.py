"""`redhanded watch` and `redhanded campaigns`."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from redhanded.desk.journal import Entry
    from redhanded.desk.watch import Wait


def watch(
    folder: Annotated[Path, typer.Argument(help="Where images appear; folders in it too, hidden files not.")],
    bundle: Annotated[Path, typer.Option(help="What `redhanded bundle` wrote.")],
    out: Annotated[Path, typer.Option(help="The .jsonl file of verdicts; gone on with where it is there.")],
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks at the folder.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="End when the files that are there now are done.")] = False,
    blind: Annotated[bool, typer.Option("--blind", help="Do not ask the bundle's victims.")] = False,
) -> None:
    """Name the attack behind each image that appears in a folder, once each; Ctrl-C or SIGTERM ends it cleanly."""
    from redhanded.desk.attribute import Attributor
    from redhanded.desk.watch import watch as watch_folder

    with _until_signalled() as wait:
        desk = Attributor.load(bundle)
        for entry in watch_folder(desk, folder, out, interval=interval, once=once, blind=blind, wait=wait):
            _show(entry)


def campaigns(
    verdicts: Annotated[Path, typer.Argument(help="What `redhanded watch` wrote.")],
    gap: Annotated[float, typer.Option(min=0, help="Hours without an image that end a campaign.")] = 24.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line for each campaign, everything.")] = False,
) -> None:
    """Group verdicts into campaigns: the same algorithm, setting and victim over time."""
    from rich.console import Console

    from redhanded.desk.campaigns import campaign_table, read_campaigns

    found = read_campaigns(verdicts, timedelta(hours=gap))
    if as_json:
        sys.stdout.writelines(campaign.model_dump_json() + "\n" for campaign in found)
    else:
        Console(markup=False, highlight=False).print(campaign_table(found))


@contextmanager
def _until_signalled() -> "Iterator[Wait]":
    """Yields how to wait for a number of seconds or the first signal to end; a second signal ends at once."""
    asked, ask = os.pipe()

    def note(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.write(ask, b"\0")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda seconds: bool(select.select([asked], [], [], seconds)[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(asked)
        os.close(ask)


def _show(entry: "Entry") -> None:
    if entry.failure is not None:
        sys.stderr.write(f"redhanded: {entry.failure.error}\n")
    if entry.verdict is not None:
        best = {name: finding.ranked[0] for name, finding in entry.verdict.findings.items()}
        said = ", ".join(f"{one.name} ({one.words})" for one in best.values())
        typer.echo(f"{entry.verdict.name}: {entry.verdict.unknown and 'unknown; '}{said}")
