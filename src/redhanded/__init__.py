"""Redhanded: which attack made this adversarial image?

Images are float32 in [0, 1], (n, c, h, w), everywhere; normalisation belongs to the networks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redhanded.advset import AdversarialSet
    from redhanded.attacks import FGSM, CarliniWagner, DeepFool
    from redhanded.attributors import Cnn6
    from redhanded.desk.attribute import Attributor
    from redhanded.desk.records import Verdict
    from redhanded.engine import run_study
    from redhanded.generation import generate
    from redhanded.report import write_report
    from redhanded.study import Study, load_study
    from redhanded.user.classifier import AttackClassifier
    from redhanded.user.fitting import fit

__version__ = "0.1.0"

__all__ = [
    "FGSM",
    "AdversarialSet",
    "AttackClassifier",
    "Attributor",
    "CarliniWagner",
    "Cnn6",
    "DeepFool",
    "Study",
    "Verdict",
    "fit",
    "generate",
    "load_study",
    "run_study",
    "write_report",
]

_HOMES = {
    "FGSM": "redhanded.attacks",
    "AdversarialSet": "redhanded.advset",
    "AttackClassifier": "redhanded.user.classifier",
    "Attributor": "redhanded.desk.attribute",
    "CarliniWagner": "redhanded.attacks",
    "Cnn6": "redhanded.attributors",
    "DeepFool": "redhanded.attacks",
    "Study": "redhanded.study",
    "Verdict": "redhanded.desk.records",
    "fit": "redhanded.user.fitting",
    "generate": "redhanded.generation",
    "load_study": "redhanded.study",
    "run_study": "redhanded.engine",
    "write_report": "redhanded.report",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that `import redhanded` and `redhanded --help` do not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'redhanded' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
