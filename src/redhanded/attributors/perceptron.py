"""The network of attributors that see a few numbers of each image."""

from torch import nn

from redhanded.models import Normalise


def perceptron(
    mean: list[float], deviation: list[float], inputs: int, hidden: int, classes: int, dropout: float | None = None
) -> nn.Sequential:
    """Standardised numbers, two hidden layers with ReLU, logits: (n, inputs, 1, 1) -> (n, classes).

    With `dropout`, the share of a hidden layer that is left out in training, each is batch-normalised as well.
    """
    return nn.Sequential(
        Normalise(mean, deviation),
        nn.Flatten(),
        *layer(inputs, hidden, dropout),
        *layer(hidden, hidden, dropout),
        nn.Linear(hidden, classes),
    )


def layer(inputs: int, outputs: int, dropout: float | None) -> list[nn.Module]:
    """A hidden layer with ReLU; with `dropout` it is batch-normalised, and that share of it is left out in training."""
    if dropout is None:
        return [nn.Linear(inputs, outputs), nn.ReLU()]
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout)]
