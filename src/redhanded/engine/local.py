"""The local executor: a pool of processes with one thread each, which survives being killed at any moment."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, parent_process

import torch

from redhanded.engine.layout import RunFolder
from redhanded.engine.steps import Step
from redhanded.errors import RunError
from redhanded.provenance import core_count
from redhanded.results import write_record


def worker_count() -> int:
    """One process for each core; one alone where there is a GPU."""
    return 1 if torch.cuda.is_available() else core_count()


def execute(steps: Sequence[Step], folder: RunFolder, workers: int, on_done: Callable[[Step], None]) -> None:
    """Do the steps, each once all it needs is done; `steps` must stand in such an order.

    A step counts as done when its mark exists, and the mark is written last. Raises what a step raised, named.
    """
    waiting = {step.key: step for step in steps}
    unmet = {step.key: {need.key for need in step.needs} & waiting.keys() for step in steps}
    running: dict[Future[None], Step] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker) as pool:
        try:
            while waiting or running:
                for step in _ready(waiting, unmet, workers - len(running)):
                    running[_submit(pool, waiting.pop(step.key), folder)] = step
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    step = running.pop(future)
                    _result(future, step)
                    for keys in unmet.values():
                        keys.discard(step.key)
                    on_done(step)
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _ready(waiting: dict[str, Step], unmet: dict[str, set[str]], room: int) -> list[Step]:
    return [step for key, step in waiting.items() if not unmet[key]][:room]


def _submit(pool: ProcessPoolExecutor, step: Step, folder: RunFolder) -> Future[None]:
    """Hand a step to the pool; workers start here, with SIGINT blocked until they ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_run, step, folder)
    except BrokenProcessPool:
        raise _killed(step) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _killed(step: Step) -> RunError:
    return RunError(
        f"expected {step.title} to finish, found its process killed (out of memory?); "
        "run the same command again to go on, with --workers 1 if memory is short"
    )


def _result(future: Future[None], step: Step) -> None:
    try:
        future.result()
    except BrokenProcessPool:
        raise _killed(step) from None
    except Exception as error:
        error.add_note(f"while doing this step: {step.title}")
        raise


def start_worker() -> None:
    """One thread each; Ctrl-C is the parent's business; a worker whose parent was killed ends at once."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _run(step: Step, folder: RunFolder) -> None:
    write_record(step.run(folder), folder.mark(step.key))
