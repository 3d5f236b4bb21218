"""One source image under every attack, as a run keeps it for its report: the paper's Figure 2."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from redhanded.errors import RunError

GALLERY_FILE = "figure2.safetensors"  # in the run's folder
_CLEAN = "clean"


@dataclass(frozen=True)
class Gallery:
    """The image `index` of a source's test split, and what attacks on one victim made of it."""

    victim: str
    index: int
    clean: Tensor  # (c, h, w) float32 in [0, 1]
    images: dict[str, Tensor]  # label of the attack -> (c, h, w) float32 in [0, 1], as the attack left it

    def save(self, path: Path) -> None:
        """Write the images as one safetensors file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {_CLEAN: self.clean, **self.images}
        about = {"victim": self.victim, "index": str(self.index)}
        save_file({name: image.contiguous() for name, image in tensors.items()}, path, about)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises RunError where the file is none."""
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                images = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            clean = images.pop(_CLEAN)
            if not images or any(image.shape != clean.shape or clean.dim() != 3 for image in images.values()):
                raise ValueError("images of one shape")
            return cls(about["victim"], int(about["index"]), clean, images)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise RunError(f"expected the images of figure 2 in {path}, found: {error}; run the study again") from None

    def perturbations(self) -> dict[str, Tensor]:
        """The perturbation of each attack by its label, (c, h, w)."""
        return {name: image - self.clean for name, image in self.images.items()}
