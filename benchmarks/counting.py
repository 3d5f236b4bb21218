"""Counting the images that an attack sends through a network, forwards and backwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Counts:
    """Images so far; an image counts once for each pass."""

    forwards: int = 0
    backwards: int = 0


@contextmanager
def counted(network: nn.Module) -> Iterator[Counts]:
    """Count what passes the network's last linear layer.

    The hook sits on that layer because it outlives preparation: copies share it (Python copies functions by
    reference) and tracing keeps the layer, while a wrapper around the network would be traced away. A gradient of
    several outputs counts its images once for each; one that is cut off before the layer is not seen.
    """
    counts = Counts()

    def forward(layer: nn.Linear, inputs: Any, output: Tensor) -> None:
        counts.forwards += _images(output, layer)
        if output.requires_grad:
            output.register_hook(lambda gradient: backward(gradient, layer))

    def backward(gradient: Tensor, layer: nn.Linear) -> None:
        counts.backwards += _images(gradient, layer)

    handle = _last_linear(network).register_forward_hook(forward)
    try:
        yield counts
    finally:
        handle.remove()


def flops_of(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Floating-point operations of one image's forward pass, a multiplication and its addition being two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *shape))
    return counter.get_total_flops()


def _last_linear(network: nn.Module) -> nn.Linear:
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def _images(values: Tensor, layer: nn.Linear) -> int:
    return values.numel() // layer.out_features
