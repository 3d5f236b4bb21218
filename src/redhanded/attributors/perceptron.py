"""The network of attributors that see a few numbers of each image."""

from torch import nn

from redhanded.networks import Normalise


def perceptron(mean: list[float], deviation: list[float], inputs: int, hidden: int, classes: int) -> nn.Sequential:
    """Standardised numbers, two hidden layers with ReLU, logits: (n, inputs, 1, 1) -> (n, classes)."""
    return nn.Sequential(
        Normalise(mean, deviation),
        nn.Flatten(),
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
