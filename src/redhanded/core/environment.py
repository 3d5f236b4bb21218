"""What ran, and on what: the command line, the commit, the machine."""

import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

DECISIVE = ("torch", "numpy", "zarr")  # packages whose version may change what a step makes

# How the programs are called whose commands are recorded.
COMMANDS = {"redhanded": ["redhanded"], "benchmarks": ["python", "-m", "benchmarks"]}


def command_line() -> str:
    """The command that runs, without the folders of this machine; "(Python)" where there is none."""
    path = Path(sys.argv[0])
    name = path.parent.name if path.name == "__main__.py" else path.name
    if name not in COMMANDS:
        return "(Python)"
    words = list(COMMANDS[name])
    for word in sys.argv[1:]:
        option, equals, value = word.rpartition("=")
        words.append(f"{option}{equals}{Path(value).name}" if "/" in word else word)
    return shlex.join(words)


def commit() -> str:
    """The commit of the code that runs, with `+` where files differ from it; "unknown" outside a git checkout."""
    try:
        here = str(Path(__file__).parent)
        git = ["git", "-C", here, "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@cache
def execution_environment() -> dict[str, str]:
    """What may change the bits of an outcome beside its specification: libraries and the processor's instructions.

    Where instructions differ (AVX2, AVX-512), sums round differently.
    """
    import torch  # what else stands here is asked without waiting for it

    instructions = torch.backends.cpu.get_cpu_capability()
    return {name: version(name) for name in DECISIVE} | {"instructions": instructions}


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> float:
    """Of the whole machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def processor() -> str:
    """Its name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
