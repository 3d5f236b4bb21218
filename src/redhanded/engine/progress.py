"""Progress of a run: a bar for each stage on a terminal, a JSON line for each step elsewhere."""

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
def show_progress(
    steps: Sequence[Step], found_done: Sequence[Step], console: Console
) -> Iterator[Callable[[Step], None]]:
    """Yields the function to call after each step."""
    with (_bars if console.is_terminal else _lines)(steps, found_done, console) as on_done:
        yield on_done


@contextmanager
def _bars(steps: Sequence[Step], found_done: Sequence[Step], console: Console) -> Iterator[Callable[[Step], None]]:
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[last]}", justify="left"),
    )
    total, done = Counter(step.stage for step in steps), Counter(step.stage for step in found_done)
    with Progress(*columns, console=console) as progress:
        bars = {
            stage: progress.add_task(stage, total=count, completed=done[stage], last="")
            for stage, count in total.items()
        }
        yield lambda step: progress.update(bars[step.stage], advance=1, last=step.title)


@contextmanager
def _lines(steps: Sequence[Step], found_done: Sequence[Step], console: Console) -> Iterator[Callable[[Step], None]]:
    started, done = time.monotonic(), len(found_done)

    def on_done(step: Step) -> None:
        nonlocal done
        done += 1
        line = {"stage": step.stage, "step": step.title, "done": done, "of": len(steps)}
        console.file.write(json.dumps(line | {"seconds": round(time.monotonic() - started, 1)}) + "\n")
        console.file.flush()

    yield on_done
