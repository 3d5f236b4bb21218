"""The local executor: a pool of processes with one thread each, which survives being killed at any moment."""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, parent_process
from multiprocessing.synchronize import Event
from typing import Protocol

import torch

from redhanded.core import PluginWarning, core_count, execution_environment, write_record
from redhanded.engine.step import Step
from redhanded.engine.store import RunFolder
from redhanded.errors import RunError

_NOT_STARTED = (
    "expected worker processes to start, found that they ended before any step; a script that runs a study must"
    ' do so below `if __name__ == "__main__":`, since each worker imports the script'
)
_KILLED = (
    "expected {} to finish, found its process killed (out of memory?); "
    "run the same command again to go on, with --workers 1 if memory is short"
)


class Executor(Protocol):
    """Whatever does the steps of a study: processes of this machine, or of others that see the same store."""

    def run(self, steps: Sequence[Step], store: RunFolder, on_done: Callable[[Step], None]) -> None:
        """Do the steps, each once all it needs is done; `steps` stand in such an order.

        A step counts as done when its mark exists: `complete` writes it, last. `on_done` is told of each step.
        Raises what a step raised, with the step named.
        """


class LocalExecutor:
    """A pool of processes of this machine, one for each core unless told; one alone where there is a GPU."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or (1 if torch.cuda.is_available() else core_count())

    def run(self, steps: Sequence[Step], store: RunFolder, on_done: Callable[[Step], None]) -> None:
        """See Executor; raises RunError where a process was killed, or where none could be started."""
        waiting = {step.key: step for step in steps}
        unmet = {step.key: {need.key for need in step.needs} & waiting.keys() for step in steps}
        running: dict[Future[None], Step] = {}
        context = multiprocessing.get_context("spawn")
        started = context.Event()
        with ProcessPoolExecutor(self.workers, context, start_worker, (started,)) as pool:
            try:
                while waiting or running:
                    ready = [step for key, step in waiting.items() if not unmet[key]]
                    for step in ready[: self.workers - len(running)]:
                        running[_submit(pool, waiting.pop(step.key), store)] = step
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        step = running.pop(future)
                        try:
                            future.result()
                        except BrokenProcessPool:
                            raise
                        except Exception as error:
                            error.add_note(f"while doing this step: {step.title}")
                            raise
                        for keys in unmet.values():
                            keys.discard(step.key)
                        on_done(step)
            except BaseException as error:
                for child in multiprocessing.active_children():
                    child.terminate()
                if isinstance(error, BrokenProcessPool):
                    raise RunError(_KILLED.format(step.title) if started.is_set() else _NOT_STARTED) from None
                raise


def refuse_in_a_starting_worker() -> None:
    """End a process that imports the user's script in order to become a worker, before it starts workers itself."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(1)  # what the parent says is enough


def _submit(pool: ProcessPoolExecutor, step: Step, store: RunFolder) -> Future[None]:
    """Hand a step to the pool; workers start here, with SIGINT blocked until they ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(complete, step, store)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def complete(step: Step, store: RunFolder) -> None:
    """Do one step and write its record, which says under what it was made, as the done-mark."""
    record = step.run(store).model_copy(update={"environment": execution_environment()})
    write_record(record, store.mark(step.key))


def start_worker(started: Event | None = None) -> None:
    """One thread each; Ctrl-C is the parent's business; a worker whose parent was killed ends at once."""
    if started is not None:
        started.set()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", PluginWarning)  # the parent has told
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
