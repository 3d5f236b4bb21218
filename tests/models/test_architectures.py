"""Networks against torchvision's."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torchvision.models
from torch import nn
from torchvision.models import DenseNet

from redhanded.models import VICTIMS, Normalise, build_network, cnn6
from redhanded.models.architectures import Builder, alexnet

BUILDERS: dict[str, Builder] = {name: kind.build for name, kind in VICTIMS.items()} | {"cnn6": cnn6}
TORCHVISION: dict[str, Callable[[], nn.Module]] = {
    "alexnet": torchvision.models.alexnet,
    "vgg16": torchvision.models.vgg16_bn,
    "resnet50": torchvision.models.resnet50,
    "densenet": partial(DenseNet, growth_rate=32, block_config=(6, 6, 6), num_init_features=64),
    "mobilenet": torchvision.models.mobilenet_v2,
}
EXACT = ("alexnet", "vgg16", "resnet50")  # but for the stride of a first 11x11
every_network = pytest.mark.parametrize("name", BUILDERS)


def built(
    name: str, shape: tuple[int, int, int] = (3, 32, 32), width: float = 0.125, classes: int = 7
) -> nn.Sequential:
    mean, deviation = [0.4] * shape[0], [0.25] * shape[0]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build_network(BUILDERS[name], width, shape, classes, mean, deviation)


def stack(network: nn.Module) -> list[tuple[object, ...]]:
    """Kind and sizes of every convolution and normalisation, in order, but for the stride of a first 11x11."""
    found: list[tuple[object, ...]] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            stride = None if module.kernel_size == (11, 11) else module.stride
            found.append(("convolution", *module.weight.shape, stride, module.groups))
        elif isinstance(module, nn.BatchNorm2d):
            found.append(("normalisation", module.num_features, module.affine))
    return found


def parameters(network: nn.Module) -> int:
    """Of convolutions' weights and of normalisations."""
    tensors = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            tensors += [module.weight, module.bias]
    return sum(tensor.numel() for tensor in tensors)


@pytest.mark.parametrize("name", EXACT)
def test_at_full_width_the_convolutions_are_torchvisions(name: str) -> None:
    with torch.device("meta"):  # shapes alone: nothing is drawn or kept
        ours, theirs = VICTIMS[name].build(1.0, 3, 1000), TORCHVISION[name]()
    assert stack(ours) == stack(theirs)
    assert parameters(ours) == parameters(theirs) > 2_000_000


def sizes(network: nn.Module) -> list[tuple[object, ...]]:
    """The stack without strides."""
    return [row[:5] if row[0] == "convolution" else row for row in stack(network)]


def test_densenets_layers_are_torchvisions_behind_the_stem() -> None:
    """In place of a 7x7 with a normalisation stands a 3x3, and 18 dense layers in place of 58."""
    with torch.device("meta"):
        ours, theirs = VICTIMS["densenet"].build(1.0, 3, 1000), TORCHVISION["densenet"]()
    assert stack(ours)[0] == ("convolution", 64, 3, 3, 3, (2, 2), 1)
    assert stack(ours)[1:] == stack(theirs)[2:]


def test_mobilenets_layers_are_torchvisions_but_for_two_strides() -> None:
    with torch.device("meta"):
        ours, theirs = VICTIMS["mobilenet"].build(1.0, 3, 1000), TORCHVISION["mobilenet"]()
    assert sizes(ours) == sizes(theirs)
    assert parameters(ours) == parameters(theirs) > 2_000_000
    differ = [one for one, other in zip(stack(ours), stack(theirs), strict=True) if one != other]
    assert len(differ) == 2
    assert [row[-1] for row in stack(ours)] == [row[-1] for row in stack(theirs)]  # convolved channel by channel


def test_every_victim_that_torchvision_has_is_compared() -> None:
    assert set(TORCHVISION) == {name for name in VICTIMS if hasattr(torchvision.models, name)}


def test_only_alexnets_first_stride_differs() -> None:
    with torch.device("meta"):
        first = alexnet(1.0, 3, 10)[0]
    assert isinstance(first, nn.Conv2d)
    assert (first.kernel_size, first.stride) == ((11, 11), (2, 2))


@every_network
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 16, 16), (1, 64, 64)], ids=str)
def test_every_size_gives_logits_and_gradients(name: str, shape: tuple[int, int, int]) -> None:
    network = built(name, shape)
    images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(2)).requires_grad_()
    logits = network(images)
    assert logits.shape == (4, 7)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    eval_logits = network.eval()(images.detach())
    assert eval_logits.isfinite().all()
    assert (eval_logits - eval_logits[0]).abs().max() > 0  # it looks at the image


@every_network
def test_width_scales_the_channels(name: str) -> None:
    half = [row[1] for row in stack(BUILDERS[name](0.5, 3, 10)) if row[0] == "convolution"]
    with torch.device("meta"):
        full = [row[1] for row in stack(BUILDERS[name](1.0, 3, 10)) if row[0] == "convolution"]
    assert [2 * channels for channels in half] == full  # type: ignore[operator]
    narrowest = [row[1] for row in stack(BUILDERS[name](1e-6, 3, 10)) if row[0] == "convolution"]
    # ResNet's blocks widen fourfold, MobileNet's sixfold; DenseNet's channels add up.
    assert set(narrowest) <= {"densenet": {1, 2, 4, 5}, "mobilenet": {1, 6}}.get(name, {1, 4})


def test_cnn6_is_the_papers() -> None:
    convolutions = [row[1:5] for row in stack(cnn6(1.0, 3, 10)) if row[0] == "convolution"]
    channels = (32, 32, 64, 64, 128, 128)
    assert convolutions == [(out, into, 3, 3) for into, out in zip((3, *channels), channels, strict=False)]
    linear = [module for module in built("cnn6", width=1.0).modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(128 * 4 * 4, 256), (256, 7)]


@every_network
def test_normalisation_is_the_first_layer(name: str) -> None:
    network = build_network(BUILDERS[name], 0.125, (3, 32, 32), 4, [0.1, 0.5, 0.9], [0.5, 0.25, 2.0])
    assert isinstance(network[0], Normalise)
    assert not any(isinstance(module, Normalise) for module in network[1:].modules())
    pixel = torch.tensor([0.6, 0.5, 0.9]).reshape(1, 3, 1, 1)
    assert network[0](pixel).flatten().tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert {"0.mean", "0.deviation"} <= set(network.state_dict())  # stored with the weights


@every_network
def test_weights_come_from_the_global_generator_alone(name: str) -> None:
    one, again = built(name).state_dict(), built(name).state_dict()
    assert all(torch.equal(one[key], again[key]) for key in one)
