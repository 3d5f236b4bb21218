"""What a benchmark runs on: the machine and the libraries."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.records import Machine
from benchmarks.scenarios import OURS
from redhanded.attacks.toolchains import TOOLCHAINS, installed, toolchain_version
from redhanded.core import core_count, memory_gib, processor


def peers() -> list[str]:
    """The libraries that are installed."""
    return [name for name in TOOLCHAINS if name != OURS and installed(name)]


def describe_machine() -> Machine:
    """This machine, and the version or the install command of every library."""
    missing = [name for name in TOOLCHAINS if name != OURS and not installed(name)]
    return Machine(
        processor=processor(),
        cores=core_count(),
        memory_gib=round(memory_gib(), 1),
        system=platform.platform(terse=True),
        python=platform.python_version(),
        torch=torch.__version__,
        libraries={name: toolchain_version(name) for name in peers()},
        missing={name: TOOLCHAINS[name].install for name in missing},
    )


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
