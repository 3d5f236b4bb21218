from .carlini_wagner import CarliniWagner
from .carlini_wagner_linf import CarliniWagnerLinf
from .controls import JPEG, Clean, GaussianNoise, SaltAndPepper, UniformNoise
from .ddn import DDN
from .deepfool import DeepFool
from .fgsm import FGSM
from .fmn import FMN
from .parse import make_attack, parse_attack
from .pgd import BIM, MIFGSM, PGD
from .ranges import Choice, LogUniform, Range, Uniform
from .spec import AttackFunction, AttackKind, AttackOutput, AttackSpec, Kind, ToolchainName, check_batch, default_text
from .square import Square
from .table import ATTACKS, family_named, title_of, titles_named
from .toolchains import TOOLCHAINS

__all__ = [
    "ATTACKS",
    "BIM",
    "DDN",
    "FGSM",
    "FMN",
    "JPEG",
    "MIFGSM",
    "PGD",
    "TOOLCHAINS",
    "AttackFunction",
    "AttackKind",
    "AttackOutput",
    "AttackSpec",
    "CarliniWagner",
    "CarliniWagnerLinf",
    "Choice",
    "Clean",
    "DeepFool",
    "GaussianNoise",
    "Kind",
    "LogUniform",
    "Range",
    "SaltAndPepper",
    "Square",
    "ToolchainName",
    "Uniform",
    "UniformNoise",
    "check_batch",
    "default_text",
    "family_named",
    "make_attack",
    "parse_attack",
    "title_of",
    "titles_named",
]
