"""What several test files share."""

from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from torch import Tensor

from redhanded.report import write_report
from support.report_run import make_run
from support.tiny_bundle import make_bundle

torch.set_num_threads(1)  # the tests run side by side; more threads each would only make them wait
settings.register_profile("no clock", deadline=None)  # a busy machine is no fault
settings.load_profile("no clock")


@pytest.fixture(scope="session")
def separable() -> tuple[Tensor, Tensor]:
    """Images (240, 1, 16, 16) that are bright in the left or the right half, and labels 0 and 1 that say which."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(240) % 2
    images = 0.3 * torch.rand(240, 1, 16, 16, generator=generator)
    images[labels == 0, :, :, :8] += 0.6
    images[labels == 1, :, :, 8:] += 0.6
    return images, labels


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run with its report."""
    path = make_run(tmp_path_factory.mktemp("whole") / "run")
    assert write_report(path) == path / "report" / "report.html"
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A run of two victims and one kind of question."""
    return make_run(tmp_path / "run", names=["alexnet", "vgg16"], kinds=["norm"])


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A bundle of a real run (`run` beside it), made once for all test processes; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with FileLock(shared / "bundle.lock"):
        return make_bundle(shared / "tiny-bundle")
