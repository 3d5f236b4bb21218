"""A process that opens hostile files or bundles one after another, and tells what it said, its time and its memory.

`python -m support.hostile_worker files FOLDER`, or `bundles BUNDLE SCRATCH`: a JSON line for each.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from redhanded.errors import RedhandedError
from redhanded.verdicts import Examiner, Failure
from redhanded.verdicts.evidence import read_files
from support.hostile_bundles import BUNDLES, mend
from support.hostile_files import FILES, SHAPE

torch.set_num_threads(1)


def _peak() -> int:
    """Bytes, of the whole life of this program; what getrusage says is at least what its parent had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _told(name: str, said: Callable[[], list[str]]) -> None:
    started = time.process_time()
    lines = said()
    print(json.dumps({"name": name, "said": lines, "seconds": time.process_time() - started, "peak": _peak()}))


def _of_file(path: Path) -> list[str]:
    return [one.error if isinstance(one, Failure) else f"used: {one.name}" for one in read_files([path], SHAPE)]


def _of_bundle(folder: Path) -> list[str]:
    """Loading it, and asking every attributor that answers without a reference."""
    try:
        examiner = Examiner.load(folder)
        grey = np.zeros(examiner.shape, np.float32)
        examiner.attribute([grey], blind=True)
        examiner.attribute([grey])
    except RedhandedError as error:
        return [str(error)]
    return ["loaded"]


def files(folder: str) -> None:
    """Every file of the table, made already."""
    for name in FILES:
        _told(name, lambda name=name: _of_file(Path(folder) / name))


def bundles(bundle: str, scratch: str) -> None:
    """Every bundle of the table, made from a sound one and taken away again."""
    for place, (name, case) in enumerate(BUNDLES.items()):
        folder = Path(scratch) / str(place) / "bundle"
        shutil.copytree(bundle, folder)
        case.spoil(folder)
        if case.mended:
            mend(folder)
        _told(name, lambda folder=folder: _of_bundle(folder))
        shutil.rmtree(folder)


if __name__ == "__main__":
    _told("idle", list)
    {"files": files, "bundles": bundles}[sys.argv[1]](*sys.argv[2:])
