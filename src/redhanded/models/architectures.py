"""AlexNet, VGG16, ResNet50, DenseNet and MobileNetV2 for small images, and the paper's attribution network.

Every network takes images in [0, 1], (n, c, h, w) with h = w from 16 to 64, and gives logits, (n, classes). At
width 1.0 the convolutions have torchvision's shapes; what differs is the stride of AlexNet's first layer (2 in
place of 4) and that the last pooling is an average, since nothing larger than a few pixels is left to pool.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

Builder = Callable[[float, int, int], nn.Sequential]  # (width, input channels, classes) -> network


class Normalise(nn.Module):
    """Normalisation as the first layer: (x - mean) / deviation for each channel, so that nothing else knows either."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) in [0, 1] -> (n, c, h, w) of mean 0 and deviation 1."""
        one = torch.zeros_like(images[:1])  # broadcasting over channels-last memory would be five times as slow
        return (images - (one + self.mean)) / (one + self.deviation)


class ConvNorm(nn.Sequential):
    """A convolution and its batch normalisation."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions with a shortcut; the stride sits in the middle one."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * channels
        self.residual = nn.Sequential(
            ConvNorm(inputs, channels, 1),
            nn.ReLU(inplace=True),
            ConvNorm(channels, channels, 3, stride),
            nn.ReLU(inplace=True),
            ConvNorm(channels, outputs, 1),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, 4 * channels, h / stride, w / stride)."""
        return torch.relu(self.residual(features) + self.shortcut(features))


def _channels(count: int, width: float) -> int:
    return max(1, round(count * width))


def _perceptron(inputs: int, hidden: int, classes: int) -> list[nn.Module]:
    """The three fully connected layers that AlexNet and VGG16 end with."""
    return [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, classes),
    ]


def alexnet(width: float, inputs: int, classes: int) -> nn.Sequential:
    """AlexNet (Krizhevsky 2012, in torchvision's one-tower form): five convolutions, three linear layers."""
    one, two, three, four, five = (_channels(count, width) for count in (64, 192, 384, 256, 256))
    return nn.Sequential(
        nn.Conv2d(inputs, one, 11, stride=2, padding=5),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(one, two, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(two, three, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(three, four, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(four, five, 3, padding=1),
        nn.ReLU(inplace=True),
        *_perceptron(five, _channels(1024, width), classes),
    )


def vgg16(width: float, inputs: int, classes: int) -> nn.Sequential:
    """VGG16 with batch normalisation (Simonyan & Zisserman 2015): 13 convolutions, three linear layers."""
    layers: list[nn.Module] = []
    for stage, (count, repeats) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        if stage:
            layers.append(nn.MaxPool2d(2))
        for _ in range(repeats):
            outputs = _channels(count, width)
            layers += [ConvNorm(inputs, outputs, 3), nn.ReLU(inplace=True)]
            inputs = outputs
    return nn.Sequential(*layers, *_perceptron(inputs, _channels(1024, width), classes))


def resnet50(width: float, inputs: int, classes: int) -> nn.Sequential:
    """ResNet50 (He 2016) with its own stem: 7x7 of stride 2, then pooling, then 3 + 4 + 6 + 3 bottlenecks."""
    stem = _channels(64, width)
    layers: list[nn.Module] = [ConvNorm(inputs, stem, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]
    inputs = stem
    for stage, (count, repeats) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        channels = _channels(count, width)
        for block in range(repeats):
            layers.append(Bottleneck(inputs, channels, stride=2 if stage and not block else 1))
            inputs = 4 * channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


class _DenseLayer(nn.Module):
    """DenseNet's layer: what it makes stands beside what it was given."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.made = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            ConvNorm(inputs, 4 * growth, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, inputs + growth, h, w)."""
        return torch.cat([features, self.made(features)], 1)


def densenet(width: float, inputs: int, classes: int) -> nn.Sequential:
    """DenseNet-BC (Huang 2017): a stem of stride 2, three blocks of six layers, growth 32 at width 1."""
    growth = _channels(32, width)
    count = 2 * growth
    layers: list[nn.Module] = [nn.Conv2d(inputs, count, 3, 2, padding=1, bias=False)]
    for block in range(3):
        if block:
            layers += [nn.BatchNorm2d(count), nn.ReLU(), nn.Conv2d(count, count // 2, 1, bias=False), nn.AvgPool2d(2)]
            count //= 2
        for _ in range(6):
            layers.append(_DenseLayer(count, growth))
            count += growth
    layers += [nn.BatchNorm2d(count), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(count, classes))


class _InvertedResidual(nn.Module):
    """MobileNetV2's block: wide inside, convolved channel by channel, with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        wider = [ConvNorm(inputs, inner, 1), nn.ReLU6()] if expansion > 1 else []
        each = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        self.residual = nn.Sequential(*wider, each, nn.BatchNorm2d(inner), nn.ReLU6(), ConvNorm(inner, outputs, 1))
        self.same = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        made = self.residual(features)
        return features + made if self.same else made


def mobilenet(width: float, inputs: int, classes: int) -> nn.Sequential:
    """MobileNetV2 (Sandler 2018) for small images: a stem of stride 2, 17 inverted residuals, two of stride 2."""
    count = _channels(32, width)
    layers: list[nn.Module] = [ConvNorm(inputs, count, 3, 2), nn.ReLU6()]
    rows = [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 1), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, channels, repeats, stride in rows:
        for block in range(repeats):
            outputs = _channels(channels, width)
            layers.append(_InvertedResidual(count, outputs, stride if not block else 1, expansion))
            count = outputs
    last = _channels(1280, width)
    head = [ConvNorm(count, last, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, classes)]
    return nn.Sequential(*layers, *head)


def cnn6(width: float, inputs: int, classes: int) -> nn.Sequential:
    """The paper's attributor: six 3x3 convolutions, pooling after each pair, two fully connected layers."""
    layers: list[nn.Module] = []
    for count in (32, 64, 128):
        for _ in range(2):
            outputs = _channels(count, width)
            layers += [ConvNorm(inputs, outputs, 3), nn.ReLU(inplace=True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    hidden = _channels(256, width)
    head = [nn.Flatten(), nn.LazyLinear(hidden), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(hidden, classes)]
    return nn.Sequential(*layers, *head)


class NetworkKind(NamedTuple):
    """A row of `VICTIMS`."""

    build: Builder
    summary: str
    paper: str
    version: int = 1  # raised when `build` gives another network: its victims are trained again


VICTIMS: dict[str, NetworkKind] = {
    "alexnet": NetworkKind(alexnet, "5 convolutions, no normalisation", "Krizhevsky et al. 2012"),
    "vgg16": NetworkKind(vgg16, "13 convolutions of 3x3, batch normalisation", "Simonyan & Zisserman 2015"),
    "resnet50": NetworkKind(resnet50, "49 convolutions in 16 bottleneck blocks", "He et al. 2016"),
    "densenet": NetworkKind(densenet, "18 dense layers in three blocks", "Huang et al. 2017"),
    "mobilenet": NetworkKind(mobilenet, "17 inverted residuals, convolved channel by channel", "Sandler et al. 2018"),
}


def build_network(
    builder: Builder,
    width: float,
    shape: tuple[int, int, int],
    classes: int,
    mean: Sequence[float],
    deviation: Sequence[float],
) -> nn.Sequential:
    """Build a network with fresh weights from the global generator; shape is (channels, height, width)."""
    network = nn.Sequential(Normalise(mean, deviation), *builder(width, shape[0], classes))
    with torch.no_grad():
        network.eval()(torch.zeros(1, *shape))  # materialises lazy layers
    return network.train()


def channel_statistics(images: Tensor) -> tuple[list[float], list[float]]:
    """Compute the mean and deviation of each channel, in units of [0, 1], of images (n, c, h, w) in uint8 or float."""
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    planes = images[:10_000].transpose(0, 1).flatten(1).double() / scale  # (c, n h w); more images change nothing
    return planes.mean(1).tolist(), planes.std(1).clamp_min(1e-3).tolist()
