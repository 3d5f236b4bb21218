from .base import Attributor, AttributorCard, AttributorKind, Knowledge, Prediction
from .calibration import Calibration, ReliabilityBin, measure_calibration
from .calibration_set import HELD_OUT, CalibrationSet
from .candidates import Candidates
from .cnn6 import Cnn6
from .conformal import Conformal
from .described import Described, own_and_others, stacked
from .estimator import AttackClassifier
from .factored import OTHERS, Estimate, Factored, FactoredAsked
from .few_shot import teach
from .fitting import fit
from .forensic import Forensic, ForensicEach
from .forensic_heads import ForensicHeads
from .joined import Joined, JoinedSettings
from .magnitude import Magnitude
from .mahalanobis import ACCEPTED, Gaussians
from .marginal import Marginal, answering
from .network import NetworkAttributor, NetworkSettings
from .openset import CHOSEN, DETECTORS, SURE, OpenSet, fit_gaussians, measure_open_set
from .oracle import Oracle
from .table import ATTRIBUTORS, make_attributor
from .taught import Taught, TaughtSettings

__all__ = [
    "ACCEPTED",
    "ATTRIBUTORS",
    "CHOSEN",
    "DETECTORS",
    "HELD_OUT",
    "OTHERS",
    "SURE",
    "AttackClassifier",
    "Attributor",
    "AttributorCard",
    "AttributorKind",
    "Calibration",
    "CalibrationSet",
    "Candidates",
    "Cnn6",
    "Conformal",
    "Described",
    "Estimate",
    "Factored",
    "FactoredAsked",
    "Forensic",
    "ForensicEach",
    "ForensicHeads",
    "Gaussians",
    "Joined",
    "JoinedSettings",
    "Knowledge",
    "Magnitude",
    "Marginal",
    "NetworkAttributor",
    "NetworkSettings",
    "OpenSet",
    "Oracle",
    "Prediction",
    "ReliabilityBin",
    "Taught",
    "TaughtSettings",
    "answering",
    "fit",
    "fit_gaussians",
    "make_attributor",
    "measure_calibration",
    "measure_open_set",
    "own_and_others",
    "stacked",
    "teach",
]
