"""What several test files share.

What computes is imported where it is used: the process that hands the tests out to others starts without it.
"""

import gc
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import settings

if TYPE_CHECKING:
    from torch import Tensor

    from support.report_run import Page
    from support.tiny_bundle import KnownImages

settings.register_profile("no clock", deadline=None)  # a busy machine is no fault
settings.load_profile("no clock")

RUNS = {"finished", "others", "trained_run", "whole"}  # fixtures that run a study


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what waits for a whole study to be run."""
    for item in items:
        if isinstance(item, pytest.Function) and RUNS.intersection(item.fixturenames):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _at_work() -> None:
    """What every process that tests does first."""
    import torch

    torch.set_num_threads(1)  # the tests run side by side; more threads each would only make them wait
    gc.freeze()  # modules are no garbage: to look through them again takes a third of a second each time


@pytest.fixture(scope="session")
def separable() -> "tuple[Tensor, Tensor]":
    """Images (240, 1, 16, 16) that are bright in the left or the right half, and labels 0 and 1 that say which."""
    from redhanded.testing import two_classes

    return two_classes()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder for what is made once for all test processes, by whoever holds the lock in it."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def run(shared: Path) -> Path:
    """A synthetic run with its report, not to be changed."""
    from redhanded.report import write_report
    from support.report_run import make_run

    path = shared / "synthetic"
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            assert write_report(make_run(path)) == path / "report" / "report.html"
        return path


@pytest.fixture(scope="session")
def page(run: Path) -> "Page":
    """The page of that report."""
    from support.report_run import Page, html

    return Page(html(run))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """The command line in this process: exit code and both streams."""
    from redhanded.cli.main import main

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["redhanded", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return call


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure is drawn in a report, which takes longer than all the rest: for tests of its words alone."""
    from redhanded.report.figures import Drawing

    monkeypatch.setattr(Drawing, "png", b"")
    monkeypatch.setattr(Drawing, "svg", b"<svg></svg>")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A run of two victims and one kind of question."""
    from support.report_run import make_run

    return make_run(tmp_path / "run", names=["alexnet", "vgg16"], kinds=["norm"])


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the kept bundle; not to be changed."""
    from support.tiny_bundle import BUNDLE, check_format

    check_format()
    return shutil.copytree(BUNDLE, tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.fixture(scope="session")
def known() -> "dict[str, KnownImages]":
    """Test images of each set of the kept bundle."""
    from support.tiny_bundle import read_test_sets

    return read_test_sets()


@pytest.fixture(scope="session")
def trained_run(shared: Path) -> Path:
    """A real run, made once for all test processes, not to be changed: how good it came out, no test may ask."""
    from support.tiny_bundle import make_run

    folder = shared / "trained"
    with FileLock(folder.with_suffix(".lock")):
        return folder / "run" if folder.exists() else make_run(folder)
