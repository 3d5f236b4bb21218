"""Other people's attack code behind our calling convention: one row of `TOOLCHAINS` for each library."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from redhanded.attacks.spec import AttackFunction, AttackSpec, ToolchainName
from redhanded.attacks.table import ATTACKS
from redhanded.attacks.toolchains import advlib, art, cleverhans, foolbox, torchattacks
from redhanded.attacks.toolchains.calling import Adapter
from redhanded.attacks.toolchains.loading import installed, load_toolchain, toolchain_version
from redhanded.errors import AttackError


class Toolchain(NamedTuple):
    """A row of `TOOLCHAINS`."""

    summary: str
    distribution: str  # its name on PyPI
    package: str  # what is imported
    install: str  # the command that a user types
    runs: Mapping[str, AttackFunction]  # by family
    modules: tuple[str, ...] = ()  # submodules that importing the package does not import
    version: int = 1  # raised when our way of calling the library gives other images
    unneeded: tuple[str, ...] = ()  # packages that it imports and that none of `runs` uses


class _Ours(Mapping[str, AttackFunction]):
    """What `ATTACKS` runs at the time of asking."""

    def __getitem__(self, family: str) -> AttackFunction:
        return ATTACKS[family].run

    def __iter__(self) -> Iterator[str]:
        return iter(ATTACKS)

    def __len__(self) -> int:
        return len(ATTACKS)


TOOLCHAINS: dict[ToolchainName, Toolchain] = {
    "redhanded": Toolchain(
        summary="our own engine: stopping and searching are per image, so neighbours do not matter",
        distribution="redhanded",
        package="redhanded",
        install="pip install redhanded",
        runs=_Ours(),
    ),
    "foolbox": Toolchain(
        summary="Foolbox: all but C&W in Linf and Square; C&W stops for a whole batch, MI-FGSM sums signs, FMN in linf",
        distribution="foolbox",
        package="foolbox",
        install="pip install 'redhanded[foolbox]'",
        runs={
            "fgsm": foolbox.fgsm,
            "deepfool": foolbox.deepfool,
            "carlini_wagner": foolbox.carlini_wagner,
            "pgd": foolbox.pgd,
            "bim": foolbox.bim,
            "mi_fgsm": foolbox.mi_fgsm,
            "ddn": foolbox.ddn,
            "fmn": foolbox.fmn,
        },
    ),
    "art": Toolchain(
        summary="Adversarial Robustness Toolbox: DeepFool in l2 overshoots once at the end, C&W is a line search; no "
        "DDN, no FMN",
        distribution="adversarial-robustness-toolbox",
        package="art",
        install="pip install 'redhanded[art]'",
        runs={
            "fgsm": art.fgsm,
            "deepfool": art.deepfool,
            "carlini_wagner": art.carlini_wagner,
            "carlini_wagner_linf": art.carlini_wagner_linf,
            "pgd": art.pgd,
            "bim": art.bim,
            "mi_fgsm": art.mi_fgsm,
            "square": art.square,
        },
        modules=("art.attacks.evasion", "art.estimators.classification"),
    ),
    "torchattacks": Toolchain(
        summary="torchattacks: FGSM, BIM and MI-FGSM in linf, DeepFool in l2 image by image, C&W without a search for "
        "the constant, PGD, Square",
        distribution="torchattacks",
        package="torchattacks",
        install="pip install --no-deps torchattacks",
        runs={
            "fgsm": torchattacks.fgsm,
            "deepfool": torchattacks.deepfool,
            "carlini_wagner": torchattacks.carlini_wagner,
            "pgd": torchattacks.pgd,
            "bim": torchattacks.bim,
            "mi_fgsm": torchattacks.mi_fgsm,
            "square": torchattacks.square,
        },
    ),
    "advlib": Toolchain(
        summary="adv-lib: DeepFool with per-image stopping, C&W as the authors' code, PGD in linf that keeps its last "
        "success, DDN, FMN; no FGSM",
        distribution="adv-lib",
        package="adv_lib",
        install="pip install 'redhanded[advlib]' && pip install --no-deps adv-lib",
        runs={
            "deepfool": advlib.deepfool,
            "carlini_wagner": advlib.carlini_wagner,
            "carlini_wagner_linf": advlib.carlini_wagner_linf,
            "pgd": advlib.pgd,
            "ddn": advlib.ddn,
            "fmn": advlib.fmn,
        },
        modules=("adv_lib.attacks",),
        unneeded=("visdom",),
    ),
    "cleverhans": Toolchain(
        summary="CleverHans: FGSM, PGD, BIM, and C&W with the mean constant of a batch; no DeepFool",
        distribution="cleverhans",
        package="cleverhans",
        install="pip install --no-deps cleverhans",
        runs={
            "fgsm": cleverhans.fgsm,
            "carlini_wagner": cleverhans.carlini_wagner,
            "pgd": cleverhans.pgd,
            "bim": cleverhans.bim,
        },
        modules=(
            "cleverhans.torch.attacks.carlini_wagner_l2",
            "cleverhans.torch.attacks.fast_gradient_method",
            "cleverhans.torch.attacks.projected_gradient_descent",
        ),
    ),
}


def attack_function(spec: AttackSpec) -> AttackFunction:
    """The function that runs `spec` with the code of its toolchain.

    Raises AttackError, in one line, where the toolchain has no such attack or would not run it faithfully; whether
    the library is installed turns out when the function is called.
    """
    runs = TOOLCHAINS[spec.toolchain].runs
    if spec.family not in runs:
        having = ", ".join(name for name, row in TOOLCHAINS.items() if spec.family in row.runs) or "none"
        raise AttackError(
            f"expected one of {', '.join(runs)} for the toolchain {spec.toolchain}, found {spec.family}; "
            f"toolchains that have it: {having}"
        )
    function = runs[spec.family]
    if isinstance(function, Adapter):
        function.check(spec)
    return function


__all__ = [
    "TOOLCHAINS",
    "Toolchain",
    "attack_function",
    "installed",
    "load_toolchain",
    "toolchain_version",
]
