"""Study files: the built-in ones resolve, and every mistake in one is told in one line with what would be right."""

import tomllib
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest

from redhanded.attacks import FGSM, CarliniWagner
from redhanded.attributors import ATTRIBUTORS
from redhanded.data import SOURCES
from redhanded.errors import StudyError
from redhanded.studies import QUESTIONS, Study, build_questions, load_study
from redhanded.studies.spec import BUILT_IN

FILES = {name: resources.files("redhanded.studies").joinpath(f"{name}.toml") for name in BUILT_IN}
PRESENT = [name for name, file in FILES.items() if file.is_file()]
every_study = pytest.mark.parametrize("name", PRESENT)


def scales(name: str) -> list[str]:
    return list(tomllib.loads(FILES[name].read_text())["scales"])


every_scale = pytest.mark.parametrize(("name", "scale"), [(name, scale) for name in PRESENT for scale in scales(name)])


@every_scale
def test_built_in_studies_resolve_at_every_scale(name: str, scale: str) -> None:
    study = load_study(name, scale)
    assert (study.name, study.scale) == (name, scale)
    assert study.source in SOURCES


@pytest.mark.parametrize(
    ("name", "scale"), [(name, scale) for name in PRESENT if load_study(name).paper for scale in scales(name)]
)
def test_studies_of_the_papers_grid_have_all_of_it(name: str, scale: str) -> None:
    study = load_study(name, scale)
    grid = Counter((attack.family, attack.norm) for attack in study.attacks)
    assert grid == {
        ("carlini_wagner", "l2"): 9,
        ("deepfool", "l2"): 3,
        ("deepfool", "linf"): 3,
        ("fgsm", "l2"): 3,
        ("fgsm", "linf"): 3,
    }
    assert len({(victim, attack.label) for victim in study.victims for attack in study.attacks}) == 63
    assert len(build_questions(study.questions, study.grid, study.paper)) == 47


def check_same_sets(study: Study, grid: Study) -> None:
    """What is attacked in a study is attacked in the grid, of the same images; every attack and norm is there."""
    assert set(study.attacks) <= set(grid.attacks)
    assert study.grid.attack_norms == grid.grid.attack_norms
    assert (study.source, study.seed) == (grid.source, grid.seed)
    assert all(study.images(attack.family) == grid.images(attack.family) for attack in study.attacks)


@pytest.mark.parametrize("scale", scales("checkpoints"))
def test_the_checkpoints_are_those_of_the_papers_grid_and_two_more_of_each(scale: str) -> None:
    """So that what was trained and attacked for one study serves the other."""
    study, grid = load_study("checkpoints", scale), load_study("cifar10", scale)
    check_same_sets(study, grid)
    for name in grid.victims:
        assert study.victim_spec(name) == grid.victim_spec(name)
        for seed in (1, 2):
            other = study.victim_spec(f"{name}-{seed}")
            assert other == grid.victim_spec(name).model_copy(update={"name": f"{name}-{seed}", "seed": seed})
    assert len(build_questions(study.questions, study.grid, study.paper)) == 5 * (1 + 3)


@pytest.mark.parametrize("scale", scales("width"))
def test_the_narrow_victims_are_those_of_the_checkpoints_and_the_wide_one_is_the_reference(scale: str) -> None:
    study, checkpoints, grid = (load_study(name, scale) for name in ("width", "checkpoints", "cifar10"))
    check_same_sets(study, checkpoints)
    *narrow, full = map(study.victim_spec, study.victims)
    trained = map(checkpoints.victim_spec, checkpoints.victims)
    assert narrow == [spec for spec in trained if spec.architecture == "alexnet"]
    assert (full.architecture, full.width) == ("alexnet", 1)
    rows = [(question.row, question.column) for question in build_questions(study.questions, study.grid, study.paper)]
    papers = dict.fromkeys(question.row for question in build_questions(["algorithm"], grid.grid, grid.paper))
    assert rows == [(row, name) for row in papers for name in study.victims]


@every_scale
def test_a_resolved_study_survives_json(name: str, scale: str) -> None:
    study = load_study(name, scale)
    assert Study.model_validate(study.model_dump(mode="json")) == study
    assert Study.model_validate_json(study.model_dump_json()) == study


@every_scale
def test_every_victim_and_attributor_of_a_study_can_be_made(name: str, scale: str) -> None:
    study = load_study(name, scale)
    for victim in study.victims:
        spec = study.victim_spec(victim)
        assert (spec.name, spec.width) == (victim, study.size.victims[victim].width)
        assert spec.training == study.size.victims[victim].training
    for attributor, settings in study.size.attributors.items():
        made = ATTRIBUTORS[attributor].settings.model_validate(settings)
        assert made.model_dump(include=set(settings)).keys() == settings.keys()


@every_study
def test_without_a_scale_the_first_is_taken(name: str) -> None:
    assert load_study(name).scale == scales(name)[0]


def test_every_study_file_is_listed() -> None:
    files = {Path(file.name).stem for file in resources.files("redhanded.studies").iterdir() if ".toml" in file.name}
    assert files <= set(BUILT_IN)


SMALL = """
name = "small"
title = "A small one"
source = "anything"

[victims]
one = { architecture = "alexnet" }
two = { architecture = "vgg16", seed = 3 }

[[attacks]]
family = "fgsm"
norm = ["l2", "linf"]
eps = [1, 2]

[[attacks]]
family = "carlini_wagner"
confidence = 0.5

[[attacks]]
family = "fgsm"
norm = "l2"
eps = 2.0

[scales.tiny]
train_images = 10
test_images = 5
more_images = { fgsm = { train = 30, test = 15 } }

[scales.tiny.victims]
one = { width = 0.5 }
two = { width = 0.25, training = { epochs = 2 } }

[scales.tiny.attack_budgets]
carlini_wagner = { steps = 7, confidence = 0.1 }

[scales.tiny.attributors]
cnn6 = { width = 0.25, training = { epochs = 3 } }
"""


def loaded(tmp_path: Path, text: str, scale: str | None = None) -> Study:
    (tmp_path / "study.toml").write_text(text)
    return load_study(str(tmp_path / "study.toml"), scale)


def test_a_file_resolves_to_the_product_of_its_lists_each_once(tmp_path: Path) -> None:
    study = loaded(tmp_path, SMALL)
    assert study.attacks == (
        FGSM(norm="l2", eps=1.0),
        FGSM(norm="l2", eps=2.0),
        FGSM(norm="linf", eps=1.0),
        FGSM(norm="linf", eps=2.0),
        CarliniWagner(confidence=0.5, steps=7),  # the budget of the scale; the row's own value wins
    )
    assert study.images("fgsm") == {"train": 30, "test": 15}
    assert study.images("carlini_wagner") == {"train": 10, "test": 5}
    spec = study.victim_spec("two")
    assert (spec.name, spec.architecture, spec.width, spec.seed) == ("two", "vgg16", 0.25, 3)
    assert spec.training.epochs == 2
    assert study.paper is None
    assert study.questions == tuple(QUESTIONS)
    assert study.grid.victims == ("one", "two")


def refusal(tmp_path: Path, text: str, scale: str | None = None) -> str:
    with pytest.raises(StudyError) as caught:
        loaded(tmp_path, text, scale)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / "study.toml") in message
    return message


@pytest.mark.parametrize(
    ("right", "wrong", "meant"),
    [
        ("title =", "titel =", "title"),
        ("[victims]", "[victms]", "victims"),
        ("seed = 3", "sed = 3", "seed"),
        ('{ architecture = "alexnet"', '{ architectur = "alexnet"', "architecture"),
        ("[scales.tiny]", "[scale.tiny]", "scales"),
        ("train_images = 10", "train_image = 10", "train_images"),
        ("more_images =", "more_image =", "more_images"),
        ("train = 30", "trian = 30", "train"),
        ("one = { width", "one = { widht", "width"),
        ("training = { epochs = 2", "trainng = { epochs = 2", "training"),
        ("epochs = 2", "epoch = 2", "epochs"),
        ("[scales.tiny.attack_budgets]", "[scales.tiny.attack_budget]", "attack_budgets"),
        ("steps = 7", "step = 7", "steps"),
        ("[scales.tiny.attributors]", "[scales.tiny.attributor]", "attributors"),
        ("cnn6 = { width", "cnn6 = { witdh", "width"),
        ("epochs = 3", "epohs = 3", "epochs"),
        ("eps = [1", "epz = [1", "eps"),
        ('family = "fgsm"', 'famly = "fgsm"', None),  # told which key it needs
    ],
)
def test_an_unknown_key_is_named_with_the_one_that_was_meant(
    tmp_path: Path, right: str, wrong: str, meant: str | None
) -> None:
    assert right in SMALL
    message = refusal(tmp_path, SMALL.replace(right, wrong, 1))
    assert f"did you mean {meant!r}?" in message if meant else "expected 'family'" in message


def test_a_wrong_key_is_told_with_its_place(tmp_path: Path) -> None:
    assert "'scales.tiny.victims.two.training.epoch'" in refusal(tmp_path, SMALL.replace("epochs = 2", "epoch = 2"))
    assert "attributors.cnn6: unknown key 'training.epohs'" in refusal(
        tmp_path, SMALL.replace("epochs = 3", "epohs = 3")
    )


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ('family = "fgsm"', 'family = "fgms"', "found 'fgms'; did you mean 'fgsm'?"),
        ('family = "fgsm"', "family = 3", "found 3"),
        ('family = "fgsm"', 'family = ["fgsm"]', "found ['fgsm']"),
        ('"alexnet"', '"alexnett"', "found 'alexnett'; did you mean 'alexnet'?"),
        ('source = "anything"', 'source = "x"\nquestions = ["norms"]', "found 'norms'; did you mean 'norm'?"),
        ("cnn6 =", "cnn5 =", "found 'cnn5'; did you mean 'cnn6'?"),
        ("carlini_wagner = {", "carlini_wagne = {", "did you mean 'carlini_wagner'?"),
        ("{ fgsm = { train", "{ fgms = { train", "did you mean 'fgsm'?"),
        ("one = { width", "on = { width", "found 'on'; did you mean 'one'?"),
        ("two = { width = 0.25, training = { epochs = 2 } }", "", "found 'two'"),
        ('source = "anything"', 'source = "x"\nquestions = []', "expected questions or axes to ask along"),
        ('source = "anything"', 'source = "x"\npixels = []', "pixels: Tuple should have at least 1 item"),
        (
            'family = "fgsm"',
            'family = "carlini_wagner"\nconfidence = 0.5\nsteps = 8\n[[attacks]]\nfamily = "fgsm"',
            "and",
        ),
        ("train_images = 10", "train_images = 0", "scales.tiny.train_images"),
        ("train_images = 10", 'train_images = "many"', "scales.tiny.train_images"),
        ("test_images = 5\n", "", "scales.tiny.test_images"),
        ("width = 0.5", "width = 5", "scales.tiny.victims.one.width"),
        ("epochs = 2", "epochs = 0", "scales.tiny.victims.two.training.epochs"),
        ("epochs = 3", "epochs = 0", "attributors.cnn6: training.epochs"),
        ("eps = [1, 2]", "eps = [1, -2]", "found -2"),
        ("eps = [1, 2]", "eps = []", "at least one value for eps of fgsm"),
        ("eps = [1, 2]", 'eps = ["wide"]', "found 'wide'"),
        ('norm = ["l2", "linf"]', 'norm = ["l1"]', "found 'l1'"),
        ('source = "anything"', 'source = "x"\npaper = "imagenet"', "paper"),
        ('source = "anything"', 'source = "x"\npixels = ["uint16"]', "pixels"),
        ('name = "small"', "", "name"),
        ('name = "small"', "name = ", "TOML"),
        ('name = "small"', 'name = "small"\nname = "again"', "TOML"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(tmp_path: Path, right: str, wrong: str, says: str) -> None:
    assert right in SMALL
    assert says in refusal(tmp_path, SMALL.replace(right, wrong, 1))


def test_an_unknown_scale_is_told_with_those_there_are(tmp_path: Path) -> None:
    assert "one of tiny, found 'tini'; did you mean 'tiny'?" in refusal(tmp_path, SMALL, "tini")


def test_no_attacks_and_no_scales_are_refused(tmp_path: Path) -> None:
    head = 'name = "a"\ntitle = "b"\nsource = "c"\n[victims]\n'
    assert "attacks" in refusal(tmp_path, "attacks = []\n" + head + "[scales]\n")
    assert "scales" in refusal(tmp_path, head + '[[attacks]]\nfamily = "fgsm"\neps = 1\n[scales]\n')


@pytest.mark.parametrize("what", ["missing", "folder", "not text", "binary as text"])
def test_a_file_that_cannot_be_read(tmp_path: Path, what: str) -> None:
    path = tmp_path / "study.toml"
    if what == "folder":
        path.mkdir()
    elif what == "not text":
        path.write_bytes(b"\xff\xfe\x00")
    elif what == "binary as text":
        path.write_bytes(b"\x00\x01")
    with pytest.raises(StudyError, match=r"study\.toml") as caught:
        load_study(str(path))
    assert "\n" not in str(caught.value)


def test_a_misspelt_name_lists_the_studies() -> None:
    with pytest.raises(StudyError, match="quick, mnist, cifar10"):
        load_study("quik")


def test_a_resolved_study_cannot_be_changed() -> None:
    study = load_study("quick")
    with pytest.raises(ValueError, match="frozen"):
        study.name = "other"  # type: ignore[misc]
