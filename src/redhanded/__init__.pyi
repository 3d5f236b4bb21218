from . import (
    attacks,
    attributors,
    bundle,
    core,
    data,
    engine,
    errors,
    models,
    report,
    server,
    sets,
    studies,
    testing,
    verdicts,
)
from .attacks import FGSM, PGD, CarliniWagner, DeepFool
from .attributors import AttackClassifier, Cnn6, fit
from .engine import run_study
from .report import load_results, write_report
from .sets import AdversarialSet, generate
from .studies import Study, load_study
from .verdicts import Examiner, Verdict, attribute

__version__: str
__all__ = [
    "FGSM",
    "PGD",
    "AdversarialSet",
    "AttackClassifier",
    "CarliniWagner",
    "Cnn6",
    "DeepFool",
    "Examiner",
    "Study",
    "Verdict",
    "attacks",
    "attribute",
    "attributors",
    "bundle",
    "core",
    "data",
    "engine",
    "errors",
    "fit",
    "generate",
    "load_results",
    "load_study",
    "models",
    "report",
    "run_study",
    "server",
    "sets",
    "studies",
    "testing",
    "verdicts",
    "write_report",
]
