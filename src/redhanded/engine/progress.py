"""Progress of a run: a bar for each stage on a terminal, a JSON line for each step elsewhere."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from redhanded.engine.step import Step


@contextmanager
def show_progress(steps: Sequence[Step], done: Sequence[Step], console: Console) -> Iterator[Callable[[Step], None]]:
    """Give the function to call after each step; done: those of the steps that were done before."""
    if not console.is_terminal:
        started, numbers = time.monotonic(), itertools.count(len(done) + 1)

        def write_line(step: Step) -> None:
            line = {"stage": step.stage, "step": step.title, "done": next(numbers), "of": len(steps)}
            console.file.write(json.dumps(line | {"seconds": round(time.monotonic() - started, 1)}) + "\n")
            console.file.flush()

        yield write_line
        return
    totals, completed = Counter(step.stage for step in steps), Counter(step.stage for step in done)
    with Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[last]}", justify="left"),
        console=console,
    ) as progress:
        bars = {
            stage: progress.add_task(stage, total=total, completed=completed[stage], last="")
            for stage, total in totals.items()
        }
        yield lambda step: progress.update(bars[step.stage], advance=1, last=step.title)
