"""A frozen copy of a classifier that computes the same logits and the same input gradients with less work."""

from collections.abc import Callable
from copy import deepcopy
from itertools import product
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

SAMPLE = 8  # images on which callers have a copy agree with its model
_ROUNDING = 1e-3  # of the logits' spread
# Layers and the batch normalisation that may stand behind them, with what makes one layer of the two.
_FOLDED: dict[tuple[type[nn.Module], type[nn.Module]], Callable[[Any, Any], nn.Module]] = {
    (nn.Conv1d, nn.BatchNorm1d): fuse_conv_bn_eval,
    (nn.Conv2d, nn.BatchNorm2d): fuse_conv_bn_eval,
    (nn.Conv3d, nn.BatchNorm3d): fuse_conv_bn_eval,
    (nn.Linear, nn.BatchNorm1d): fuse_linear_bn_eval,
}
_FEW = 4  # input channels: below, the gradient of a strided convolution leaves most of a vector unit idle


class Prepared(nn.Module):
    """The frozen copy of a model that `prepare` makes: from images to logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) in [0, 1] -> logits, (n, classes)."""
        return self.network(images)


def prepare(model: nn.Module, sample: Tensor | None = None) -> nn.Module:
    """Copy a model in evaluation mode for attacks and inference; what the copy computes differs by rounding alone.

    Batch normalisation is folded into the convolution before it, ReLU goes behind max pooling (a quarter of the
    work), the input gradient of a strided first convolution takes a faster way, memory is channels-last, and the
    parameters are frozen. A model whose graph cannot be traced (control flow that depends on the input) keeps its
    own operations, and so does one whose copy disagrees on `sample`, (n, c, h, w) on the model's device. One that
    cannot be copied (it holds a lock, say) is returned itself, and so is one that is prepared already.
    """
    if isinstance(model, Prepared):
        return model
    try:
        plain = deepcopy(model).eval().requires_grad_(False)
    except Exception:  # copying runs the model's own Python, which may do anything
        return model
    copy = _rewritten(deepcopy(plain)) or plain
    if sample is not None and len(sample):
        # A model can find out that it is being traced, and a trace holds what its Python did once.
        with torch.no_grad():
            expected, logits = plain(sample), copy(sample)
        if not (expected - logits).abs().max() <= _ROUNDING * (expected.max() - expected.min()):  # NaN disagrees
            copy = plain
    return Prepared(copy.to(memory_format=torch.channels_last)).eval()


def _rewritten(model: nn.Module) -> nn.Module | None:
    try:
        traced = fx.symbolic_trace(model)
        _fold_normalisation(traced)
    except Exception:  # tracing runs the model's own Python, which may do anything
        return None
    _pool_before_relu(traced)
    _quicken_strided(traced)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval().requires_grad_(False)


def _fold_normalisation(traced: fx.GraphModule) -> None:
    """Batch normalisation behind a layer that nothing else reads becomes part of that layer's weights."""
    modules = dict(traced.named_modules())
    for pair, fold in _FOLDED.items():
        for normed in list(traced.graph.nodes):
            layer = normed.args[0] if normed.args and _is(normed, pair[1], modules) else None
            if _is(layer, pair[0], modules) and _is_used_once(layer) and modules[normed.target].track_running_stats:
                owner, _, name = str(layer.target).rpartition(".")
                modules[layer.target] = fold(modules[layer.target], modules[normed.target])
                setattr(modules[owner], name, modules[layer.target])
                normed.replace_all_uses_with(layer)
                traced.graph.erase_node(normed)


def _pool_before_relu(traced: fx.GraphModule) -> None:
    """max(relu(x)) = relu(max(x)), gradients included: a window without a positive pixel passes none either way."""
    modules = dict(traced.named_modules())
    for pool in traced.graph.nodes:
        relu = pool.args[0] if _is(pool, nn.MaxPool2d, modules) and len(pool.args) == 1 else None
        if _is(relu, nn.ReLU, modules) and _is_used_once(relu, *relu.args) and not modules[pool.target].return_indices:
            pool.replace_all_uses_with(relu)
            pool.args = (relu.args[0], *pool.args[1:])
            pool.append(relu)
            relu.args = (pool,)


def _quicken_strided(traced: fx.GraphModule) -> None:
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        if _is(node, nn.Conv2d, modules) and _is_strided_stem(modules[str(node.target)]):
            owner, _, name = str(node.target).rpartition(".")
            setattr(modules[owner], name, StridedStem(modules[str(node.target)]))


def _is(node: Any, kind: type[nn.Module], modules: dict[str, nn.Module]) -> TypeGuard[fx.Node]:
    return isinstance(node, fx.Node) and node.op == "call_module" and type(modules.get(str(node.target))) is kind


def _is_used_once(*nodes: Any) -> bool:
    return all(isinstance(node, fx.Node) and len(node.users) == 1 for node in nodes)


def _is_strided_stem(convolution: nn.Module) -> bool:
    return (
        isinstance(convolution, nn.Conv2d)
        and convolution.in_channels <= _FEW
        and convolution.kernel_size[0] == convolution.kernel_size[1]
        and convolution.stride[0] == convolution.stride[1] > 1
        and convolution.groups == 1
        and convolution.dilation == (1, 1)
        and not isinstance(convolution.padding, str)
        and convolution.padding[0] == convolution.padding[1] < convolution.kernel_size[0]
        and convolution.padding_mode == "zeros"
    )


class StridedStem(nn.Module):
    """A convolution of stride s > 1 over few channels, whose input gradient is one convolution of stride 1.

    Each of the s * s phases of the pixel grid gets its gradient from every s-th row and column of the kernel. Put
    side by side as channels, the phases are one convolution over the output's gradient, and a pixel shuffle puts
    them in their places.
    """

    phases: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.geometry = _Geometry(convolution.kernel_size[0], convolution.stride[0], int(convolution.padding[0]))
        self.register_buffer("phases", _phase_kernel(convolution.weight.detach(), self.geometry))

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> what the convolution gives."""
        return convolve_strided(images, self.convolution.weight, self.convolution.bias, self.phases, self.geometry)


class _Geometry(NamedTuple):
    """The geometry of a square convolution, the same along both axes."""

    size: int
    stride: int
    padding: int

    @property
    def before(self) -> int:
        """The number of output pixels before its own that an input pixel meets."""
        return (self.size - 1 - self.padding) // self.stride

    @property
    def behind(self) -> int:
        """The number of output pixels behind its own that an input pixel meets."""
        return -(-self.padding // self.stride)

    def margins(self, inputs: int, outputs: int) -> tuple[int, int]:
        """What to add to (or cut from) the output's gradient for one tap window at each phase cell."""
        return self.before, self.behind + -(-inputs // self.stride) - outputs


def _phase_kernel(weight: Tensor, geometry: _Geometry) -> Tensor:
    """The kernel from the output's gradient to all phases of the input's, (c * s * s, outputs, taps, taps).

    Pixel s * i + r of the input meets kernel tap u in output j = i + (r + padding - u) / s, where that is whole.
    """
    outputs, channels = weight.shape[:2]
    stride, taps = geometry.stride, geometry.before + geometry.behind + 1
    kernel = weight.new_zeros(channels, stride, stride, outputs, taps, taps)
    for u, v in product(range(geometry.size), repeat=2):
        (row, r), (column, s) = divmod(u - geometry.padding, stride), divmod(v - geometry.padding, stride)
        kernel[:, r, s, :, geometry.before - row, geometry.before - column] = weight[:, :, u, v].T
    return kernel.flatten(0, 2)


@fx.wrap  # a prepared model can be traced again
def convolve_strided(
    images: Tensor, weight: Tensor, bias: Tensor | None, phases: Tensor, geometry: _Geometry
) -> Tensor:
    """The convolution of StridedStem as a function, (n, c, h, w) -> (n, outputs, h', w')."""
    return _StridedConvolution.apply(images, weight, bias, phases, geometry)


class _StridedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, images: Tensor, weight: Tensor, bias: Tensor | None, phases: Tensor, geometry: _Geometry
    ) -> Tensor:
        context.phases, context.geometry, context.shape = phases, geometry, images.shape
        return F.conv2d(images, weight, bias, geometry.stride, geometry.padding)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        geometry, (height, width) = context.geometry, context.shape[2:]
        margins = geometry.margins(width, gradient.shape[3]) + geometry.margins(height, gradient.shape[2])
        cells = F.conv2d(F.pad(gradient, margins), context.phases)  # (n, c * s * s, h / s, w / s)
        return F.pixel_shuffle(cells, geometry.stride)[:, :, :height, :width], None, None, None, None
