"""Prepared copies against the models they were made from: the same logits, the same gradients, fewer operations."""

import threading
from collections.abc import Callable

import pytest
import torch
import torchvision.models
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from redhanded.models import VICTIMS, build_network, cnn6, prepare
from redhanded.models.inference import Prepared, StridedStem

BUILDERS = {name: kind.build for name, kind in VICTIMS.items()} | {"cnn6": cnn6}


def lived_in(network: nn.Module) -> nn.Module:
    """The network, in evaluation mode, with statistics and scales as training leaves them."""
    generator = torch.Generator().manual_seed(4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.bias, -0.5), (module.running_mean, -0.5)):
                tensor.data.uniform_(low, low + 1, generator=generator)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
    return network.eval()


def built(name: str, channels: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        shape = (channels, 32, 32)
        return lived_in(build_network(BUILDERS[name], 0.125, shape, 7, [0.4] * channels, [0.25] * channels))


def answers(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the gradient of an uneven sum of them."""
    x = images.clone().requires_grad_()
    logits = model(x)
    weights = torch.linspace(-1, 2, logits.shape[1], dtype=logits.dtype)
    return logits.detach(), torch.autograd.grad((logits * weights).sum(), x)[0]


def images_of(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5), dtype=dtype)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_copy_computes_the_same(name: str, channels: int) -> None:
    model = built(name, channels).double()
    images = images_of(6, channels, 32, 32)
    for mine, theirs in zip(answers(prepare(model), images), answers(model, images), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", BUILDERS)
def test_in_float32_the_copy_differs_by_rounding(name: str) -> None:
    model, images = built(name), images_of(6, 3, 32, 32, dtype=torch.float32)
    assert (prepare(model)(images) - model(images)).abs().max() < 1e-5


def test_a_network_of_another_library_computes_the_same() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = lived_in(torchvision.models.resnet18(num_classes=5)).double()
    images = images_of(2, 3, 33, 40)
    torch.testing.assert_close(answers(prepare(model), images), answers(model, images), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", VICTIMS)
def test_the_copy_has_fewer_operations(name: str) -> None:
    copy = prepare(built(name))
    kinds = [type(module) for module in copy.modules()]
    # DenseNet normalises what several layers made, so there is no one convolution to fold it into.
    assert (nn.BatchNorm2d in kinds) == (name == "densenet")
    assert (StridedStem in kinds) == (name != "vgg16")  # whose first stride is 1
    assert isinstance(copy, Prepared)
    assert isinstance(copy.network, fx.GraphModule)
    nodes = list(copy.network.graph.nodes)
    named = dict(copy.network.named_modules())
    relus = [node for node in nodes if isinstance(named.get(str(node.target)), nn.ReLU | nn.ReLU6)]
    assert relus
    assert not any(isinstance(named.get(str(user.target)), nn.MaxPool2d) for relu in relus for user in relu.users)


def test_what_is_prepared_is_not_prepared_again() -> None:
    copy = prepare(built("resnet50"))
    assert prepare(copy, images_of(2, 3, 32, 32, dtype=torch.float32)) is copy


def test_part_of_a_model_may_be_prepared_already() -> None:
    model, images = built("alexnet").double(), images_of(6, 3, 32, 32)
    whole = prepare(nn.Sequential(prepare(model), nn.LogSoftmax(1)))
    torch.testing.assert_close(
        answers(whole, images), answers(nn.Sequential(model, nn.LogSoftmax(1)), images), rtol=1e-9, atol=1e-10
    )


def test_the_model_stays_as_it_was() -> None:
    model = built("resnet50").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copy = prepare(model)
    copy(images_of(2, 3, 32, 32, dtype=torch.float32))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in copy.modules())
    assert not any(parameter.requires_grad for parameter in copy.parameters())


class Branching(nn.Module):
    """What it computes depends on the input: it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(5))
        self.layers(torch.zeros(1, 3, 8, 8))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits if images.sum() > 0 else -logits


class Reused(nn.Module):
    """The convolution's output is read again after ReLU has changed it in place."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.relu, self.pool = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)
        self.linear = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        seen = self.convolution(images)
        pooled = self.pool(self.relu(seen))
        logits: Tensor = self.linear(pooled.mean((2, 3)) + seen.mean((2, 3)))
        return logits


class Indexed(nn.Module):
    """Its pooling gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2, return_indices=True)

    def forward(self, images: Tensor) -> Tensor:
        pooled, _ = self.pool(self.relu(images - 0.5))
        flat: Tensor = pooled.flatten(1)
        return flat


class Asking(nn.Module):
    """It asks for the type of its input, which is another one while it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 5)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        return 3 * logits if isinstance(images, Tensor) else logits


@pytest.mark.parametrize("make", [Branching, Reused, Indexed])
def test_operations_that_cannot_be_exchanged_are_kept(make: Callable[[], nn.Module]) -> None:
    check_copy(make(), None)


def test_a_copy_that_disagrees_on_the_sample_is_not_used() -> None:
    check_copy(Asking(), images_of(2, 3, 8, 8))


def check_copy(model: nn.Module, sample: Tensor | None) -> None:
    """The copy computes the same, and is frozen."""
    images, copy = images_of(4, 3, 8, 8), prepare(model.double().eval(), sample)
    torch.testing.assert_close(answers(copy, images), answers(model, images), rtol=1e-9, atol=1e-10)
    assert not any(parameter.requires_grad for parameter in copy.parameters())


def test_nothing_to_agree_on_is_no_disagreement() -> None:
    copy = prepare(built("vgg16"), images_of(0, 3, 32, 32, dtype=torch.float32))
    assert isinstance(copy, Prepared)
    assert isinstance(copy.network, fx.GraphModule)


@given(
    size=st.integers(1, 7),
    stride=st.integers(2, 5),
    padding=st.integers(0, 6),
    height=st.integers(7, 15),
    width=st.integers(7, 15),
    channels=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_strided_stems_have_the_convolutions_gradient(
    size: int, stride: int, padding: int, height: int, width: int, channels: int
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(size)
        convolution = nn.Conv2d(channels, 3, size, stride, min(padding, size - 1)).double()
    images = images_of(2, channels, height, width)
    found = answers(nn.Sequential(StridedStem(convolution), nn.Flatten()), images)
    expected = answers(nn.Sequential(convolution, nn.Flatten()), images)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


class Locked(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, h, w) -> two logits."""
        return x.flatten(1)[:, :2]


def test_a_model_that_cannot_be_copied_is_used_itself() -> None:
    model = Locked().eval()
    assert prepare(model) is model
