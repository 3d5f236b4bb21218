"""The engine: a study becomes steps, done steps are skipped, the rest runs in processes."""

from redhanded.engine.layout import RunFolder
from redhanded.engine.local import Executor, LocalExecutor
from redhanded.engine.run import run_study

__all__ = ["Executor", "LocalExecutor", "RunFolder", "run_study"]
