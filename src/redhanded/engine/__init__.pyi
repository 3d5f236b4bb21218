from .executor import Executor, LocalExecutor, start_worker
from .packed import PACKED, pack_records, read_run_records
from .run import run_study
from .steps.attributors import read_answers
from .steps.victims import TrainVictim, open_source
from .store import RunCard, RunFolder

__all__ = [
    "PACKED",
    "Executor",
    "LocalExecutor",
    "RunCard",
    "RunFolder",
    "TrainVictim",
    "open_source",
    "pack_records",
    "read_answers",
    "read_run_records",
    "run_study",
    "start_worker",
]
