"""`redhanded attack`: a user's model and images in, sets with their provenance out; mistakes in one line."""

import csv
import hashlib
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import redhanded
from redhanded.attacks import parse_attack
from redhanded.attacks.toolchains import TOOLCHAINS
from redhanded.cli.main import app, main
from redhanded.core import norm_of
from redhanded.data import folders, read_images
from redhanded.errors import DataError
from redhanded.models import load_model
from redhanded.models.user_code import weights_digest
from redhanded.sets import BATCH, AdversarialSet, read_provenance, read_set
from redhanded.sets import attack_folder as sets
from support.processes import on_terminal

REDHANDED = Path(sys.executable).with_name("redhanded")
SIZE, CLASSES = 12, 3
MODEL = '''
import torch
from torch import nn


def make_model():
    """Which third of the columns is the brightest."""
    weight = torch.eye(3)[:, None].repeat_interleave(4, 2).repeat(1, 12, 1).flatten(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    with torch.no_grad():
        network[1].weight.copy_(weight / 8)
        network[1].bias.copy_(torch.tensor([0.0, 0.1, -0.1]))
    return network.eval()


class Noisy(nn.Module):
    def forward(self, images):
        return torch.rand(len(images), 3) + images.mean()


class Stepped(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = make_model()

    def forward(self, images):
        return self.network((images * 8).round())


ready = make_model()
training = make_model().train()
probabilities = nn.Sequential(make_model(), nn.Softmax(1)).eval()
coloured = nn.Sequential(nn.Conv2d(3, 3, 12), nn.Flatten()).eval()


def noisy():
    return Noisy().eval()


def stepped():
    return Stepped().eval()


def weightless():
    return torch.load("no_such_weights.pt")


def indirect():
    return weightless()


def of(path):
    return make_model()


def leave():
    raise SystemExit("no licence")


def state():
    return make_model().state_dict()
'''
WEIGHTLESS = MODEL[: MODEL.index("torch.load")].count("\n") + 1  # the line that fails
FGSM, DEEPFOOL = "fgsm(norm=l2, eps=4)", "deepfool(norm=l2, overshoot=0.02)"


def bars(number: int = 24, seed: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Grey images (n, 12, 12) uint8 whose class, (n,), is the third of the columns with a bright bar."""
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % CLASSES
    images = rng.integers(0, 90, (number, SIZE, SIZE))
    for image, label in zip(images, labels, strict=True):
        image[:, 4 * label : 4 * label + 4] += rng.integers(60, 160)
    return images.astype(np.uint8), labels


IMAGES, LABELS = bars()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's file, and images in every layout; the last image of `named` lies in a wrong folder."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "my_model.py").write_text(MODEL)
    for place, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        wrong = place == len(IMAGES) - 1
        for path in (f"flat/{place:02d}.png", f"named/{'abc'[(label + wrong) % 3]}nt/{place:02d}.png"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / path)
    np.savez(folder / "images.npz", images=IMAGES, labels=LABELS.astype(np.uint8))
    return folder


class Answer(NamedTuple):
    """What a command left: exit code and both streams."""

    code: int
    out: str
    err: str

    def one_line(self) -> str:
        """The only line of the errors, of a command that ended with 2 and said nothing else."""
        assert (self.code, self.out, self.err.count("\n"), self.err[:11]) == (2, "", 1, "redhanded: "), self
        return self.err


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """The command in this process, with the import path put back."""

    def call(*words: object) -> Answer:
        monkeypatch.setattr(sys, "path", sys.path.copy())
        monkeypatch.setattr(sys, "argv", ["redhanded", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "140")
        with pytest.raises(SystemExit) as end:
            main()
        return Answer(int(end.value.code or 0), *capsys.readouterr())

    return call


def words(files: Path, images: str, out: Path, *attacks: str, victim: str = "my_model.py:make_model") -> list[str]:
    options = [word for attack in attacks or (FGSM,) for word in ("--attack", attack)]
    return ["attack", "--victim", f"{files}/{victim}", "--images", f"{files}/{images}", f"--out={out}", *options]


def model() -> nn.Module:
    """The model of the file, without our way to load it."""
    names: dict[str, Any] = {"__name__": "independent"}
    exec(MODEL, names)  # noqa: S102
    return names["make_model"]()


def classify(images: Tensor) -> Tensor:
    with torch.no_grad():
        return model()(images).argmax(1)


def read(path: Path) -> AdversarialSet:
    return read_set(path, parse_attack(read_provenance(path)["attack"]))


def assert_measured(made: AdversarialSet, labels: np.ndarray) -> None:
    """Every column is what an independent forward pass says of the stored images."""
    clean = torch.from_numpy(IMAGES)[made.index, None].float() / 255
    expected = torch.from_numpy(labels)[made.index]
    rounded = (made.images * 255).round() / 255
    changed = (made.images != clean).flatten(1).any(1)
    assert torch.equal(made.label, expected)
    assert torch.equal(made.attacked, classify(clean) == expected)
    assert torch.equal(made.success("float32"), made.attacked & changed & (classify(made.images) != expected))
    assert torch.equal(made.success("uint8"), made.attacked & changed & (classify(rounded) != expected))
    assert torch.equal(made.predictions["uint8"], classify(rounded))
    assert torch.equal(made.l2, norm_of(made.images - clean, "l2"))
    assert torch.equal(made.images[~made.attacked], clean[~made.attacked])


# --- the main path


@pytest.fixture(scope="module")
def two_sets(files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Answer, Path]:
    """Two attacks on class folders."""
    out = tmp_path_factory.mktemp("made") / "deep" / "sets"
    asked = [*words(files, "named", out, FGSM, DEEPFOOL), "--batch-size", "7"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["redhanded", *asked])  # which the sets are to name
        done = CliRunner().invoke(app, asked, env={"COLUMNS": "140"})
    return Answer(done.exit_code, done.stdout, done.stderr), out


NAMED_ORDER = sorted(range(24), key=lambda place: ((LABELS[place] + (place == 23)) % 3, place))
NAMED_LABELS = (LABELS + (np.arange(24) == 23)) % 3


def test_several_attacks_make_a_folder_of_measured_sets(two_sets: tuple[Answer, Path]) -> None:
    answer, out = two_sets
    assert (answer.code, answer.err) == (0, "")
    names = {"fgsm-l2-eps=4.0.zarr", "deepfool-l2-overshoot=0.02.zarr"}
    assert {path.name for path in out.iterdir()} == names
    assert [path.name for path in out.parent.iterdir()] == ["sets"]
    for name in names:
        made = read(out / name)
        assert made.index.tolist() == list(range(24))
        in_order = AdversarialSet(**vars(made) | {"index": torch.tensor(NAMED_ORDER)})
        assert_measured(in_order, NAMED_LABELS)
        assert made.attacked.sum() == 23
        assert made.success("float32").sum() >= 20


def test_the_table_counts_what_the_sets_hold(two_sets: tuple[Answer, Path]) -> None:
    answer, out = two_sets
    first, second, *rows = answer.out.splitlines()
    assert first.split() == ["success", "success", "median", "median"]
    assert second.split() == ["attack", "attacked", "float32", "uint8", "L2", "Linf", "seconds"]
    for row, line, label in zip(rows[:2], rows[2:], ["fgsm-l2-eps=4.0", "deepfool-l2-overshoot=0.02"], strict=True):
        made = read(out / f"{label}.zarr")
        fooled = made.success("float32")
        shares = [f"{success.sum() / 23:.1%}" for success in (fooled, made.success("uint8"))]
        sizes = [f"{np.median(size[fooled]):.4g}" for size in (made.l2.numpy(), made.linf.numpy())]
        *cells, seconds = re.split(r"  +", row.strip())
        assert cells == [label, "23 of 24", *shares, *sizes]
        assert 0 <= float(seconds) < 60
        assert line == f"set: {out / label}.zarr"


def test_the_provenance_says_how_to_make_it_again(two_sets: tuple[Answer, Path]) -> None:
    weights, pixels = hashlib.sha256(), hashlib.sha256(b"|u1 (24, 1, 12, 12)")
    for name, value in (("1.bias", model()[1].bias), ("1.weight", model()[1].weight)):
        weights.update(f"('{name}', 'torch.float32', {tuple(value.shape)})".encode() + value.detach().numpy().tobytes())
    pixels.update(IMAGES[NAMED_ORDER].tobytes() + NAMED_LABELS[NAMED_ORDER].astype("<i8").tobytes())
    found = read_provenance(two_sets[1] / "fgsm-l2-eps=4.0.zarr")
    assert found == {
        "toolchain": "redhanded",
        "toolchain_version": redhanded.__version__,
        "attack": "fgsm(norm=l2, eps=4.0)",
        "victim": "my_model.py:make_model",
        "victim_file": hashlib.sha256(MODEL.encode()).hexdigest(),
        "victim_weights": weights.hexdigest(),
        "source": "named",
        "source_kind": "class folders",
        "source_digest": pixels.hexdigest(),
        "labels": "the class folders in sorted order",
        "names": [f"{'abc'[NAMED_LABELS[place]]}nt/{place:02d}.png" for place in NAMED_ORDER],
        "batch_size": 7,
        "shard_images": 24,
        "torch": torch.__version__,
        "version": redhanded.__version__,
        "command": "redhanded attack --victim my_model.py:make_model --images named --out=sets "
        f"--attack '{FGSM}' --attack '{DEEPFOOL}' --batch-size 7",
    }


def test_one_attack_on_a_folder_makes_one_set_that_exports(
    here: Callable[..., Answer], files: Path, tmp_path: Path
) -> None:
    answer = here(*words(files, "flat", tmp_path / "one", DEEPFOOL))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith(f"set: {tmp_path}/one.zarr\n")
    assert [path.name for path in tmp_path.iterdir()] == ["one.zarr"]
    made, provenance = read(tmp_path / "one.zarr"), read_provenance(tmp_path / "one.zarr")
    own = classify(torch.from_numpy(IMAGES)[:, None].float() / 255).numpy()
    assert (own == LABELS).all()
    assert_measured(made, own)
    assert (provenance["source_kind"], provenance["labels"]) == ("folder", "the model's own predictions")
    assert provenance["names"] == [f"{place:02d}.png" for place in range(24)]
    assert here("export", tmp_path / "one.zarr", "--to", "npz").code == 0
    assert here("export", tmp_path / "one.zarr", "--to", "png").code == 0
    with np.load(tmp_path / "one.npz") as arrays:
        assert np.array_equal(arrays["images"], made.images.numpy())
    with (tmp_path / "one" / "images.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 1 + int(made.success("uint8").sum())


def test_a_set_is_what_generate_makes_however_it_is_cut(
    here: Callable[..., Answer], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = torch.from_numpy(IMAGES)[:, None].float() / 255, torch.from_numpy(LABELS)
    (expected,) = redhanded.generate(model(), images, labels, [parse_attack(DEEPFOOL)])
    monkeypatch.setattr(sets, "AT_ONCE", 5 * SIZE * SIZE + 1)
    assert here(*words(files, "images.npz", tmp_path / "set.zarr", DEEPFOOL)).code == 0
    made = read(tmp_path / "set.zarr")
    assert read_provenance(tmp_path / "set.zarr")["shard_images"] == 5
    for name in ("index", "label", "attacked", "success_float32", "success_uint8", "steps"):
        assert torch.equal(made.columns()[name], expected.columns()[name]), name
    torch.testing.assert_close(made.images, expected.images, rtol=0, atol=1e-6)  # batches of two sizes may round apart
    shards = zip(images.split(5), labels.split(5), strict=True)
    parts = [redhanded.generate(model(), *shard, [parse_attack(DEEPFOOL)])[0].images for shard in shards]
    assert torch.equal(made.images, torch.cat(parts))


def test_batches_progress_and_time_are_those_of_each_call(
    here: Callable[..., Answer], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(sets, "_shown", lambda console, total: nullcontext(lambda number: told.append((number, total))))
    monkeypatch.setattr(sets, "time", SimpleNamespace(monotonic=count(step=3).__next__))
    attacks = (FGSM, DEEPFOOL, "fgsm(norm=linf, eps=0.1)")  # the two FGSMs share a call
    answer = here(*words(files, "named", tmp_path / "sets", *attacks), "--batch-size", 7)
    assert told == [(number, 2 * 24) for number in [7, 7, 7, 2, 1] * 2]
    assert [line.split()[-1] for line in answer.out.splitlines()[2:5]] == ["1.5", "3.0", "1.5"]


def test_many_sorted_images_are_checked_with_labels_of_their_own(
    here: Callable[..., Answer], files: Path, tmp_path: Path
) -> None:
    images, labels = bars(150)
    order = np.argsort(labels)
    np.savez(files / "many.npz", x_test=images[order], y_test=labels[order])
    answer = here(*words(files, "many.npz", tmp_path / "set"))
    assert (answer.code, answer.err) == (0, "")
    assert read(tmp_path / "set.zarr").attacked.all()


def test_a_model_itself_can_be_named_and_a_file_beside_it_imported(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (files / "other.py").write_text(
        "import pickle\nfrom my_model import ready\nclass Mine: pass\npickle.loads(pickle.dumps(Mine()))\n"
    )
    loaded = load_model(f"{files}/other.py:ready", "cpu")
    assert loaded.name == "other.py:ready"
    assert loaded.weights_digest == weights_digest(model())


def test_every_bit_and_name_of_the_weights_is_in_their_checksum() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    seen = {weights_digest(network)}
    for value in network.state_dict().values():
        value.flatten().view(torch.uint8)[0] ^= 1
        seen.add(weights_digest(network))
    seen |= {weights_digest(nn.Sequential(network)), weights_digest(network.bfloat16())}
    assert len(seen) == 1 + 7 + 2


@pytest.mark.filterwarnings("always::redhanded.models.checks.ModelWarning")
def test_a_doubtful_model_is_attacked_with_a_warning_of_one_line(
    here: Callable[..., Answer], files: Path, tmp_path: Path
) -> None:
    answer = here(*words(files, "flat", tmp_path / "one", victim="my_model.py:stepped"))
    assert answer.code == 0
    assert re.fullmatch(r"redhanded: warning: expected .*; see docs/model-checks\.md#gradients\n", answer.err)
    assert read(tmp_path / "one.zarr").success("float32").sum() == 0


def test_help_says_that_code_is_run_and_the_default_is_that_of_generate(here: Callable[..., Answer]) -> None:
    assert "Your code is run" in " ".join(here("attack", "--help").out.split()).replace(" │ │ ", " ")
    options = {option.name: option.default for option in typer.main.get_command(app).commands["attack"].params}
    assert options["batch_size"] == BATCH


# --- mistakes


class Mistake(NamedTuple):
    said: str
    victim: str = "my_model.py:make_model"
    images: str = "flat"
    attacks: tuple[str, ...] = (FGSM,)
    out: str = "new/set"


MISTAKES = [
    Mistake("expected --victim FILE.py:NAME, found '{files}/my_model.py'; e.g.", victim="my_model.py"),
    Mistake("expected --victim FILE.py:NAME, found '{files}/my_model:a'", victim="my_model:a"),
    Mistake("expected --victim FILE.py:NAME, found '{files}/my_model.py:'; e.g.", victim="my_model.py:"),
    Mistake("expected a Python file at {files}/none.py, found none; check", victim="none.py:make_model"),
    Mistake(
        "expected 'make_modle' in {files}/my_model.py, found no such name; did you mean",
        victim="my_model.py:make_modle",
    ),
    Mistake("found NameError: name 'oh' is not defined (raises.py, line 3); run", victim="raises.py:a"),
    Mistake("found SyntaxError: invalid syntax (syntax.py, line 2); run", victim="syntax.py:a"),
    Mistake("found ModuleNotFoundError: No module named 'no_such_module' (imports.py, line 1)", victim="imports.py:a"),
    Mistake(
        "to give a model by weightless, found FileNotFoundError: [Errno 2] No such file or directory: "
        f"'no_such_weights.pt' (my_model.py, line {WEIGHTLESS}); run",
        victim="my_model.py:weightless",
    ),
    Mistake(f"(my_model.py, line {WEIGHTLESS}); run", victim="my_model.py:indirect"),
    Mistake("found SystemExit: no licence (my_model.py, line", victim="my_model.py:leave"),
    Mistake("found TypeError: of() missing 1 required positional argument: 'path'; run", victim="my_model.py:of"),
    Mistake("to give a torch.nn.Module, found an object of type OrderedDict; return", victim="my_model.py:state"),
    Mistake("to give a torch.nn.Module, found an object of type dict; return", victim="my_model.py:__builtins__"),
    Mistake("docs/model-checks.md#evaluation-mode", victim="my_model.py:training"),
    Mistake("docs/model-checks.md#logits", victim="my_model.py:probabilities"),
    Mistake("docs/model-checks.md#deterministic", victim="my_model.py:noisy"),
    Mistake("images of shape (8, 1, 12, 12) in [0, 1], found RuntimeError", victim="my_model.py:coloured"),
    Mistake("{files}/none: expected a folder of images or an .npz file, found neither", images="none"),
    Mistake("{files}/empty: expected at least one image, found none; add images\n", images="empty"),
    Mistake("{files}/hollow/b: expected at least one image, found none", images="hollow"),
    Mistake("large.png: expected shape (12, 12) as of a.png, found shape (13, 12)", images="sizes"),
    Mistake("colour.png: expected shape (12, 12) as of a.png, found shape (12, 12, 3)", images="modes"),
    Mistake("{files}/beside: expected images alone or class folders alone, found 1 folders beside 1", images="beside"),
    Mistake("note.txt: expected a name that ends in .png", images="notes"),
    Mistake("clear.png: expected mode L or RGB, found RGBA", images="clear"),
    Mistake("wide.png: expected at most 1,048,576 pixels, found 1025 x 1024", images="wide"),
    Mistake("expected the arrays images, labels or x_test, y_test, found x_train", images="train.npz"),
    Mistake("expected the attack to be one of fgsm,", attacks=("fgms(eps=1)",)),
    Mistake(
        "expected the parameter of fgsm to be one of norm, toolchain, eps, found 'esp'; did you",
        attacks=("fgsm(esp=1)",),
    ),
    Mistake("expected an attack such as", attacks=("fgsm(eps=1",)),
    Mistake("expected eps of fgsm to be greater than 0, found '-1'", attacks=("fgsm(eps=-1)",)),
    Mistake(
        "expected one of fgsm, carlini_wagner, pgd, bim for the toolchain cleverhans",
        attacks=("deepfool(toolchain=cleverhans)",),
    ),
    Mistake(
        "expected attacks of different labels, found deepfool-l2-overshoot=0.02 twice; write",
        attacks=("deepfool(steps=3)", "deepfool"),
    ),
    Mistake("expected nothing at {tmp}/kept.zarr yet, found a file or folder; name another", out="kept"),
    Mistake("expected nothing at {tmp}/file.zarr yet, found", out="file.zarr"),
    Mistake("expected nothing at {tmp}/link.zarr yet, found", out="link.zarr"),
    Mistake("expected nothing at {tmp}/kept.zarr yet, found", attacks=(FGSM, DEEPFOOL), out="kept.zarr"),
    Mistake("expected to write {tmp}/file.zarr/set.zarr, found: File exists; name another", out="file.zarr/set"),
]


@pytest.fixture(scope="module")
def spoilt(files: Path) -> Path:
    """The same folder with files that are wrong in every way."""
    (files / "raises.py").write_text("a = 1\n\noh\n")
    (files / "syntax.py").write_text("a = 1\nif\n")
    (files / "imports.py").write_text("import no_such_module\n")
    picture = Image.fromarray(IMAGES[0])
    for folder, name, image in [
        *[("sizes", "a.png", picture), ("sizes", "large.png", picture.resize((12, 13)))],
        *[("modes", "a.png", picture), ("modes", "colour.png", picture.convert("RGB"))],
        *[("beside", "a.png", picture), ("beside/b", "a.png", picture), ("hollow/a", "a.png", picture)],
        *[("notes", "a.png", picture), ("clear", "clear.png", picture.convert("RGBA"))],
        ("wide", "wide.png", Image.new("L", (1025, 1024))),
    ]:
        (files / folder).mkdir(exist_ok=True, parents=True)
        image.save(files / folder / name)
    (files / "notes" / "note.txt").write_text("no image")
    (files / "empty").mkdir()
    (files / "hollow" / "b").mkdir()
    np.savez(files / "train.npz", x_train=IMAGES, y_train=LABELS)
    return files


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.said[:40])
def test_a_mistake_is_told_in_one_line_and_leaves_nothing(
    here: Callable[..., Answer], spoilt: Path, tmp_path: Path, mistake: Mistake
) -> None:
    (tmp_path / "kept.zarr").mkdir()
    (tmp_path / "kept.zarr" / "precious").touch()
    (tmp_path / "file.zarr").write_text("precious")
    (tmp_path / "link.zarr").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    given = words(spoilt, mistake.images, tmp_path / mistake.out, *mistake.attacks, victim=mistake.victim)
    said = here(*given).one_line()
    assert mistake.said.format(files=spoilt, tmp=tmp_path) in said
    assert re.search(r"expected .+, found", said)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file.zarr").read_text() == "precious"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(here: Callable[..., Answer], files: Path, tmp_path: Path) -> None:
    said = here(*words(files, "flat", tmp_path / "set"), "--device", "cuda").one_line()
    assert "expected a GPU for --device cuda, found none that torch can use; give --device cpu" in said


def test_a_missing_library_is_one_line_with_the_command_before_the_model_is_made(
    here: Callable[..., Answer], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = TOOLCHAINS["foolbox"]._replace(distribution="no-such-library", package="no_such_library")
    monkeypatch.setitem(TOOLCHAINS, "foolbox", row)
    attack = "fgsm(eps=0.1, toolchain=foolbox)"
    said = here(*words(files, "flat", tmp_path / "set", attack, victim="my_model.py:leave")).one_line()
    assert "expected the toolchain foolbox, found" in said
    assert "install it: pip install 'redhanded[foolbox]'" in said


@pytest.mark.parametrize(
    ("name", "error", "code", "said"),
    [
        ("make_sets", torch.OutOfMemoryError("CUDA out of memory"), 2, "too little for batches of 512; give a smaller"),
        (
            "write_shard",
            OSError(28, "No space left on device"),
            2,
            "found: No space left on device; name another --out",
        ),
        ("make_sets", KeyboardInterrupt(), 130, "redhanded: interrupted; nothing was written\n"),
        ("write_shard", KeyboardInterrupt(), 130, "redhanded: interrupted; nothing was written\n"),
    ],
)
def test_what_breaks_off_leaves_nothing_half(
    here: Callable[..., Answer],
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: BaseException,
    code: int,
    said: str,
) -> None:
    real, calls = getattr(sets, name), []

    def second_call_fails(*given: Any, **more: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise error
        return real(*given, **more)

    monkeypatch.setattr(sets, name, second_call_fails)
    answer = here(*words(files, "flat", tmp_path / "sets", FGSM, DEEPFOOL))
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
    assert said in answer.err
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_on_a_terminal_a_bar_is_shown_and_ctrl_c_is_answered(files: Path, tmp_path: Path) -> None:
    slow = "square(eps=1e-6, steps=200000)"
    command = words(files, "flat", tmp_path / "set", slow)
    code, screen = on_terminal([REDHANDED, *command], interrupt=lambda screen: "0/24" in screen)
    assert code == 130
    assert screen.rstrip().endswith("redhanded: interrupted; nothing was written")
    assert "Traceback" not in screen
    assert list(tmp_path.iterdir()) == []


# --- images


@pytest.mark.parametrize(
    ("names", "labels", "origin"),
    [
        (["ant", "bee", "cat"], [0, 1, 2], "the class folders in sorted order"),
        (["0", "10", "9"], [0, 10, 9], "the names of the class folders"),
        (["007", "3"], [7, 3], "the names of the class folders"),
        (["1", "ten"], [0, 1], "the class folders in sorted order"),
        (["1234567", "2"], [0, 1], "the class folders in sorted order"),
    ],
)
def test_class_folders_are_numbered_by_name_or_by_order(
    tmp_path: Path, names: list[str], labels: list[int], origin: str
) -> None:
    for name, image in zip(names, IMAGES, strict=False):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "images" / name / "x.png")
        (tmp_path / "images" / name / ".hidden").touch()
    found = read_images(tmp_path / "images")
    assert (found.labels.tolist(), found.labels_from) == (labels, origin)
    assert found.labels.dtype == np.int64
    assert found.names == [f"{name}/x.png" for name in names]
    assert np.array_equal(found.pixels[:, 0], IMAGES[: len(names)])


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["NHW", "NHWC1", "NHWC3", "NCHW"]))
def test_an_npz_holds_its_pixels_in_every_layout(
    tmp_path_factory: pytest.TempPathFactory, count: int, height: int, width: int, layout: str
) -> None:
    channels = 3 if layout in ("NHWC3", "NCHW") else 1
    levels = np.random.default_rng(count).integers(0, 256, (count, channels, height, width)).astype(np.uint8)
    stored = {
        "NHW": lambda: levels[:, 0],
        "NHWC1": lambda: levels.transpose(0, 2, 3, 1),
        "NHWC3": lambda: levels.transpose(0, 2, 3, 1),
        "NCHW": lambda: levels.astype(np.float32) / 255,
    }[layout]()
    path = tmp_path_factory.mktemp("npz") / "x.npz"
    np.savez(path, x_test=stored, y_test=np.arange(count, dtype=np.int32)[:, None])
    found = read_images(path)
    assert torch.equal(found.as_floats(slice(None)), torch.from_numpy(levels).float() / 255)
    assert found.labels.tolist() == list(range(count))
    assert len(found) == count


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (IMAGES / 255, LABELS, "found float64, (24, 12, 12) as NCHW; convert"),
        (IMAGES.astype(np.float32)[:, None], LABELS, r"expected float images in [0, 1], found 0 to"),
        (np.full((2, 1, 4, 4), np.nan, np.float32), LABELS[:2], r"expected float images in [0, 1], found nan"),
        (IMAGES[:, None].repeat(3, 1), LABELS, "with 1 or 3 channels, found uint8, (24, 12, 3, 12)"),
        (IMAGES[0], LABELS, "found uint8, (12, 12) as NCHW"),
        (IMAGES[:0], LABELS[:0], "expected at least one image"),
        (np.zeros((1, 1025, 1024), np.uint8), LABELS[:1], "expected at least one image of at most 1,048,576 pixels"),
        (IMAGES, LABELS[:5], "expected integer labels of shape (24,), found int64 of shape (5,)"),
        (IMAGES, np.eye(3)[LABELS], "expected integer labels of shape (24,), found float64 of shape (24, 3)"),
        (IMAGES, LABELS.reshape(4, 6), "expected integer labels of shape (24,), found int64 of shape (4, 6)"),
        (IMAGES, LABELS / 1.0, "expected integer labels of shape (24,), found float64"),
    ],
)
def test_arrays_that_are_no_images_are_told_in_one_line(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, said: str
) -> None:
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    with pytest.raises(DataError, match=re.escape(said)) as caught:
        read_images(tmp_path / "x.npz")
    assert "\n" not in str(caught.value)


def test_the_checksum_of_images_tells_type_shape_pixels_and_labels(tmp_path: Path) -> None:
    other = IMAGES.copy()
    other[3, 4, 5] ^= 1
    seen = set()
    for images, labels in [
        *[(IMAGES, LABELS), (other, LABELS), (IMAGES, LABELS[::-1]), (IMAGES.reshape(24, 6, 24), LABELS)],
        (IMAGES[:, None].astype(np.float32) / 255, LABELS),
    ]:
        np.savez(tmp_path / "x.npz", images=images, labels=labels)
        seen.add(read_images(tmp_path / "x.npz").digest)
    assert len(seen) == 5


def test_too_many_pixels_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = folders.ATTACK_LIMITS._replace(array_bytes=2 * SIZE * SIZE)
    monkeypatch.setattr(folders, "ATTACK_LIMITS", small)
    for name in "abc":
        Image.fromarray(IMAGES[0]).save(tmp_path / f"{name}.png")
    with pytest.raises(DataError, match="expected at most 288 bytes of pixels, found 432; use fewer"):
        read_images(tmp_path)
