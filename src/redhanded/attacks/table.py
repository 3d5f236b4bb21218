"""The table of the attacks: one row of `ATTACKS` each, all called as `run(model, images, labels, specifications)`."""

from redhanded.attacks.carlini_wagner import CarliniWagner, carlini_wagner
from redhanded.attacks.carlini_wagner_linf import CarliniWagnerLinf, carlini_wagner_linf
from redhanded.attacks.controls import (
    JPEG,
    Clean,
    GaussianNoise,
    SaltAndPepper,
    UniformNoise,
    clean,
    gaussian_noise,
    jpeg,
    salt_and_pepper,
    uniform_noise,
)
from redhanded.attacks.ddn import DDN, ddn
from redhanded.attacks.deepfool import DeepFool, deepfool
from redhanded.attacks.fgsm import FGSM, fgsm
from redhanded.attacks.fmn import FMN, fmn
from redhanded.attacks.pgd import BIM, MIFGSM, PGD, bim, mi_fgsm, pgd
from redhanded.attacks.spec import AttackFunction, AttackKind, AttackSpec
from redhanded.attacks.square import Square, square
from redhanded.core import Table


def _control(
    spec: type[AttackSpec],
    run: AttackFunction,
    title: str,
    summary: str,
    reference: str = "the closed form",
    paper: str = "none: a control",
) -> AttackKind:
    """A row for a disturbance that asks the model nothing."""
    return AttackKind(spec, run, title, f"control: {summary}", paper, reference, uses_gradient=False, kind="control")


_OURS: dict[str, AttackKind] = {
    "fgsm": AttackKind(
        spec=FGSM,
        run=fgsm,
        title="FGSM",
        kind="single step",
        summary="one step along the gradient of the loss (l2) or its sign (linf)",
        paper="Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, ICLR 2015",
        reference="Foolbox 3.3.4: linf equal to the bit, l2 to one rounding",
        differs="the clipped step is not projected back onto the ball, which Foolbox does (it changes roundings alone)",
        shares_work=True,
    ),
    "deepfool": AttackKind(
        spec=DeepFool,
        run=deepfool,
        title="DeepFool",
        kind="minimal norm",
        summary="steps to the nearest boundary of the linearised classifier until the class changes",
        paper="Moosavi-Dezfooli, Fawzi, Frossard: DeepFool: a simple and accurate method to fool deep neural "
        "networks, CVPR 2016",
        reference="Foolbox 3.3.4: equal to 1e-5",
        differs="an image that did not fool comes back as it was, and finished images leave the batch",
    ),
    "carlini_wagner": AttackKind(
        spec=CarliniWagner,
        run=carlini_wagner,
        title="C&W",
        kind="minimal norm",
        summary="the nearest image that is wrong by a margin, searched by Adam in tanh space",
        paper="Carlini, Wagner: Towards evaluating the robustness of neural networks, IEEE S&P 2017",
        reference="the authors' code, and Foolbox 3.3.4: median distance within 5 %",
        differs="stopping and searching are per image, where most libraries stop the whole batch at once",
    ),
    "carlini_wagner_linf": AttackKind(
        spec=CarliniWagnerLinf,
        run=carlini_wagner_linf,
        title="C&W Linf",
        kind="minimal norm",
        summary="every pixel's change pressed below a bound that shrinks after each success",
        paper="Carlini, Wagner: Towards evaluating the robustness of neural networks, IEEE S&P 2017",
        reference="adv-lib 0.2.8 run on one image at a time: equal to 1e-6",
        differs="a search step ends for each image by itself, in adv-lib for the batch; the authors' code starts a "
        "search step at the last success, gives up at the first failure to find one, and tightens down to 1/256",
    ),
    "pgd": AttackKind(
        spec=PGD,
        run=pgd,
        title="PGD",
        kind="iterative in a ball",
        summary="steps along the gradient inside a ball around the image, from a random point of the ball",
        paper="Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial attacks, "
        "ICLR 2018",
        reference="torchattacks 3.5.1 without a random start: equal to 1e-6",
        differs="the l2 start is uniform in the ball, where torchattacks draws its distance uniformly, so nearer to "
        "the image",
    ),
    "bim": AttackKind(
        spec=BIM,
        run=bim,
        title="BIM",
        kind="iterative in a ball",
        summary="steps along the gradient inside a ball around the image, from the image itself",
        paper="Kurakin, Goodfellow, Bengio: Adversarial examples in the physical world, ICLR workshop 2017",
        reference="Foolbox 3.3.4: equal to 1e-6",
        differs="not at all",
        counted_as="pgd",  # without its random start, PGD is BIM
    ),
    "mi_fgsm": AttackKind(
        spec=MIFGSM,
        run=mi_fgsm,
        title="MI-FGSM",
        kind="iterative in a ball",
        summary="BIM along a running sum of gradients",
        paper="Dong, Liao, Pang, Su, Zhu, Hu, Li: Boosting adversarial attacks with momentum, CVPR 2018",
        reference="torchattacks 3.5.1 in linf: equal to 1e-6",
        differs="not in linf; Foolbox does not divide each gradient by its size, as the paper does",
    ),
    "ddn": AttackKind(
        spec=DDN,
        run=ddn,
        title="DDN",
        kind="minimal norm",
        summary="gradient steps on a sphere that shrinks after a success and grows after a failure",
        paper="Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger: Decoupling direction and norm for efficient "
        "gradient-based L2 adversarial attacks and defenses, CVPR 2019",
        reference="adv-lib 0.2.8 and Foolbox 3.3.4: equal to 1e-5",
        differs="a gradient of zero moves nothing, where adv-lib draws a random direction; adv-lib rounds to 256 "
        "levels unless told not to",
    ),
    "fmn": AttackKind(
        spec=FMN,
        run=fmn,
        title="FMN",
        kind="minimal norm",
        summary="gradient steps in a ball whose radius follows the distance to the boundary",
        paper="Pintor, Roli, Brendel, Biggio: Fast minimum-norm adversarial attacks through adaptive norm "
        "constraints, NeurIPS 2021",
        reference="adv-lib 0.2.8: linf equal to 1e-5; its l2 projection lengthens short changes, ours does not",
        differs="in l2, as said; the median distances are the same within 2 %",
    ),
    "square": AttackKind(
        spec=Square,
        run=square,
        title="Square",
        kind="random search",
        summary="random search with squares of shrinking size, without gradients",
        paper="Andriushchenko, Croce, Flammarion, Hein: Square attack: a query-efficient black-box adversarial attack "
        "via random search, ECCV 2020",
        reference="torchattacks 3.5.1: the same success and number of queries on average",
        differs="each image has squares of its own, at any place, as the paper says; torchattacks draws one for the "
        "batch, and never at the lower and right edge; it sums the size of two windows over the channels, ours is per "
        "channel, as the paper's",
        uses_gradient=False,
    ),
    "clean": _control(Clean, clean, "clean", "nothing is done", "the images themselves"),
    "gaussian_noise": _control(GaussianNoise, gaussian_noise, "Gaussian noise", "normal noise of a given L2 size"),
    "uniform_noise": _control(UniformNoise, uniform_noise, "uniform noise", "evenly drawn noise of a given L2 size"),
    "salt_and_pepper": _control(
        SaltAndPepper, salt_and_pepper, "salt and pepper", "a share of the pixels black or white"
    ),
    "jpeg": _control(
        JPEG,
        jpeg,
        "JPEG",
        "JPEG compression",
        reference="Pillow: equal to the bit",
        paper="Wallace: The JPEG still picture compression standard, Communications of the ACM 34(4), 1991",
    ),
}
ATTACKS = Table("redhanded.attacks", AttackKind, lambda row: row.spec.family, _OURS)


def title_of(family: str) -> str:
    """What tables and sentences call a family: the title of its row, and the name itself where it has no row."""
    return ATTACKS[family].title if family in ATTACKS else family


def family_named(family: str) -> str:
    """The family that attribution names for one: another, where no image shows which of the two it was."""
    return (ATTACKS[family].counted_as if family in ATTACKS else "") or family


def titles_named(family: str) -> str:
    """What a sentence calls a family that attribution named: the titles of all that get its name, `PGD or BIM`."""
    return " or ".join(row.title for name, row in ATTACKS.items() if family_named(name) == family) or title_of(family)
