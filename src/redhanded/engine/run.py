"""Run a study: skip what is done, do the rest, leave records that say what was run on what."""

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from redhanded import __version__
from redhanded.core import (
    command_line,
    commit,
    core_count,
    execution_environment,
    memory_gib,
    processor,
    read_record,
    whole_folder,
    write_record,
)
from redhanded.engine.examples import write_examples
from redhanded.engine.executor import Executor, LocalExecutor, refuse_in_a_starting_worker
from redhanded.engine.plan import only as only_wanted
from redhanded.engine.plan import plan
from redhanded.engine.progress import show_progress
from redhanded.engine.step import Step, in_order
from redhanded.engine.steps.sets import DescribeSet
from redhanded.engine.store import RunCard, RunFolder
from redhanded.errors import RunError
from redhanded.studies import Study


def run_study(
    study: Study,
    out: Path | str | None = None,
    *,
    sources: Mapping[str, Path] | None = None,
    only: Sequence[str] = (),
    attributors: Sequence[str] = (),
    executor: Executor | None = None,
    fresh: bool = False,
    console: Console | None = None,
) -> Path:
    """Run a study, or go on where it was interrupted; returns the run directory.

    out: `runs/<study name>` unless given; sources: where named sources lie; only: items (`table2`) or questions
    (`norm/fgsm`), and attributors: names, all unless given; executor: who does the steps, a process for each core of
    this machine unless given; fresh: forget what was done and start anew. What was made under other versions of
    libraries or on another kind of processor is told in one line, and the run goes on.

    Raises RunError where another process writes to `out`, and what a step raises. A script must call this below
    `if __name__ == "__main__":`, since processes of the local executor import the script.
    """
    refuse_in_a_starting_worker()
    asked = plan(study, sources or {})
    wanted = in_order(only_wanted(asked, only, attributors))
    folder = RunFolder(Path(out) if out is not None else Path("runs") / study.name)
    folder.root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.root / ".lock", timeout=0):
            if fresh:
                folder.clear()
            _run(study, folder, in_order(asked), wanted, executor or LocalExecutor(), console or Console())
    except Timeout:
        raise RunError(
            f"expected {folder.root} to be free, found another run writing to it; wait or name another"
        ) from None
    return folder.root


def _run(
    study: Study, folder: RunFolder, steps: Sequence[Step], wanted: Sequence[Step], executor: Executor, console: Console
) -> None:
    """Do the wanted ones of a study's steps that are not done yet."""
    done = [step for step in wanted if folder.mark(step.key).is_file()]
    missing = [step for step in wanted if not folder.mark(step.key).is_file()]
    here, others = execution_environment(), dict[str, None]()
    for step in done if missing else ():
        then = json.loads(folder.mark(step.key).read_bytes()).get("environment", {})
        others |= dict.fromkeys(f"{name} {then.get(name, 'unknown')}" for name in here if then.get(name) != here[name])
    if others:
        now = ", ".join(f"{name} {value}" for name, value in here.items())
        line = f"a part of this run was made with {', '.join(others)}; it goes on with {now}; --fresh starts anew"
        console.print(f"redhanded: {line}", soft_wrap=True, markup=False, highlight=False)
    _write_results(steps, folder)
    card = _card(study, folder)
    try:
        with show_progress(wanted, done, console) as on_done:
            executor.run(missing, folder, on_done)
        write_examples([step for step in wanted if isinstance(step, DescribeSet)], folder)
    finally:
        _write_results(steps, folder)
        finished = all(folder.mark(step.key).is_file() for step in wanted)
        write_record(card.model_copy(update={"seconds": _seconds(folder), "finished": finished}), folder.card)


def _write_results(steps: Sequence[Step], folder: RunFolder) -> None:
    """Make `results/` hold the records of this study's finished steps, and nothing else."""
    with whole_folder(folder.results) as part:
        for step in steps:
            place, mark = step.record_path(folder), folder.mark(step.key)
            if place is not None and mark.is_file():
                copy = part / place.relative_to(folder.results)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(mark, copy)


def _seconds(folder: RunFolder) -> float:
    """What the records say of their own time."""
    return sum(json.loads(path.read_bytes())["seconds"] for path in folder.results.rglob("*.json"))


def _card(study: Study, folder: RunFolder) -> RunCard:
    """The card of this run; one study keeps the time at which it was first begun."""
    resolved = study.model_dump(mode="json")
    earlier = read_record(RunCard, folder.card) if folder.card.is_file() else None
    same = earlier is not None and earlier.study == resolved
    packages = dict(execution_environment())
    instructions = packages.pop("instructions")
    card = RunCard(
        study=resolved,
        scale=study.scale,
        command=command_line(),
        version=__version__,
        commit=commit(),
        started=earlier.started if earlier and same else datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=_seconds(folder),
        finished=False,
        hardware={
            "processor": processor(),
            "instructions": instructions,
            "cores": str(core_count()),
            "memory": f"{memory_gib():.0f} GiB",
            "system": platform.platform(terse=True),
        },
        packages={"python": platform.python_version()} | packages,
    )
    write_record(card, folder.card)
    return card
