"""The ceiling: `forensic`'s layers on the true perturbation, which no analyst has."""

from typing import ClassVar

from torch import Tensor

from redhanded.attributors.base import Knowledge
from redhanded.attributors.forensic import Forensic
from redhanded.sets import Samples


class Oracle(Forensic):
    """The network of `forensic`; it sees the perturbation alone, as an image around grey."""

    kind: ClassVar[str] = "oracle"
    knowledge: ClassVar[Knowledge] = "oracle"

    def view(self, samples: Samples) -> Tensor:
        """See NetworkAttributor."""
        return samples.perturbations
