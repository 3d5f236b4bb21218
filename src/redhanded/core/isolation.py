"""Foreign code in isolation: what it may disturb of a model or of the process is put back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

_CPU = torch.device("cpu")


@contextmanager
def untouched_model(model: nn.Module) -> Iterator[None]:
    """Freeze the parameters, and put their gradients and every module's mode back afterwards.

    Libraries that call `backward()` would fill the gradients of the parameters; others clear them, or switch the
    whole model to training or evaluation.
    """
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, wanted, gradient in parameters:
            parameter.requires_grad_(wanted)
            parameter.grad = gradient


@contextmanager
def untouched_random_state(device: torch.device = _CPU, seed: int | None = None) -> Iterator[None]:
    """Put the global random states of Python, NumPy and torch (the CPU's and that of `device`) back afterwards.

    With a seed of 63 bits they begin there, so that what other people's code draws hangs on it alone.
    """
    python = random.getstate()
    numpy = np.random.get_state()  # noqa: NPY002 - what a library would draw from
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            if seed is not None:
                random.seed(seed)
                np.random.seed(seed % 2**32)  # noqa: NPY002
                torch.default_generator.manual_seed(seed)
                if device.type == "cuda":
                    with torch.cuda.device(device):
                        torch.cuda.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
