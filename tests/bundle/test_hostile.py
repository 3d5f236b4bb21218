"""Hostile files, arrays and bundles: one line of error each, no traceback, bounded time and memory, others answered."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from redhanded.attributors import Forensic
from redhanded.bundle import Bundle, BundleCard, BundleError, load_bundle
from redhanded.bundle.card import FORMAT
from redhanded.bundle.verify import read_json
from redhanded.cli.analyst import parse_prior
from redhanded.cli.main import main
from redhanded.core import read_record
from redhanded.data import ARRAYS
from redhanded.errors import DataError, RedhandedError
from redhanded.studies import SetEntry
from redhanded.verdicts import Evidence, read_bytes
from redhanded.verdicts.evidence import from_array, read_files
from redhanded.verdicts.judge import Panel
from redhanded.verdicts.verdict import Alternative, Finding
from support import hostile_worker
from support.hostile_bundles import BUNDLES, CARD, mend
from support.hostile_files import CANARY, FILES, GREY, HEADER, ODD, SHAPE, SOUND, make_files, npy_header, npz
from support.processes import PATIENCE

REDHANDED = Path(sys.executable).with_name("redhanded")
SECONDS = 5.0  # of the processor, for one input
MEMORY = 1 << 30  # bytes over the idle process
LONGEST = 1500  # characters of a line
LINE = re.compile(r"(.*: )?expected .+, found:? .+; .+")

Told = dict[str, dict[str, Any]]
T = TypeVar("T")
pytestmark = pytest.mark.hostile


def ask(*words: object) -> Told:
    """What the worker tells, by name."""
    command = [sys.executable, "-m", "support.hostile_worker", *map(str, words)]
    tests = Path(hostile_worker.__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=tests)
    assert (done.returncode, done.stderr) == (0, "")
    return {told["name"]: told for told in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every hostile file."""
    made = tmp_path_factory.mktemp("hostile")
    make_files(made, FILES)
    return made


@pytest.fixture(scope="module")
def files(folder: Path) -> Told:
    return ask("files", folder)


@pytest.fixture(scope="module")
def bundles(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    scratch = tmp_path_factory.mktemp("bundles")
    told = ask("bundles", bundle, scratch)
    assert not list(scratch.rglob(CANARY))
    return told


def is_one_line(text: str) -> bool:
    return text.isprintable() and len(text) < LONGEST and bool(LINE.fullmatch(text)) and " at 0x" not in text


def test_the_tables_are_large_enough() -> None:
    assert len(FILES) + len(BUNDLES) > 400
    assert len(BUNDLES) > 200


@pytest.mark.parametrize("name", FILES, ids=ascii)
def test_a_hostile_file_has_one_line(files: Told, name: str) -> None:
    (said,) = files[name]["said"]
    assert is_one_line(said)
    assert FILES[name].says in said


@pytest.mark.parametrize("name", BUNDLES, ids=ascii)
def test_a_hostile_bundle_has_one_line(bundles: Told, name: str) -> None:
    (said,) = bundles[name]["said"]
    assert is_one_line(said)
    assert BUNDLES[name].says in said


def test_time_and_memory_are_bounded(files: Told, bundles: Told, folder: Path) -> None:
    for told in (files, bundles):
        slow = {name: one["seconds"] for name, one in told.items() if one["seconds"] > SECONDS}
        assert slow == {}
        assert max(one["peak"] for one in told.values()) - told["idle"]["peak"] < MEMORY
    assert not (folder / CANARY).exists()  # no pickle was run


@pytest.mark.parametrize("name", ODD)
def test_what_is_only_odd_is_used_and_said(tmp_path: Path, name: str) -> None:
    ODD[name].make(tmp_path / name)
    (found,) = read_files([tmp_path / name], SHAPE)
    assert isinstance(found, Evidence)
    assert any(ODD[name].says in remark for remark in found.condition.remarks)
    if found.condition.form != "lossy" and name != "rotated.tif":
        assert torch.equal((found.image * 255).round().to(torch.uint8)[0, 0], torch.from_numpy(GREY))


def test_the_command_answers_the_others(folder: Path, bundle: Path, tmp_path: Path) -> None:
    for name in ("a", "z"):
        Image.fromarray(GREY).save(tmp_path / f"{name}.png")
    command = [REDHANDED, "attribute", tmp_path / "a.png", folder, tmp_path / "z.png", "--bundle", bundle, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
    assert names == [str(tmp_path / "a.png"), str(tmp_path / "z.png")]
    lines = done.stderr.splitlines()
    assert len(lines) == sum(len(names) for _, _, names in os.walk(folder))
    assert [line for line in lines if not line.startswith("redhanded: ") or not is_one_line(line)] == []


@pytest.mark.parametrize(
    "name",
    ["card empty", f"format {FORMAT + 1}", "weights changed", "pickle beside", "weight nan", "width 1000000000.0"],
)
def test_the_command_refuses_a_bundle_with_exit_code_2(
    bundle: Path,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoilt = tmp_path / "bundle"
    shutil.copytree(bundle, spoilt)
    BUNDLES[name].spoil(spoilt)
    if BUNDLES[name].mended:
        mend(spoilt)
    Image.fromarray(GREY).save(tmp_path / "a.png")
    monkeypatch.setattr(sys, "argv", ["redhanded", "attribute", str(tmp_path / "a.png"), "--bundle", str(spoilt)])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1)
    assert is_one_line(err.rstrip("\n"))


def test_no_folder_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / CARD).mkdir()
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / CARD)
    for name in ("nowhere", "file", "card", "pipe", "n" * 300, "nul\0"):
        with pytest.raises(BundleError, match=r"expected a (sound )?bundle,.* found"):
            load_bundle(tmp_path / name)


def test_a_sound_bundle_stays_sound_when_it_is_mended(bundle: Path, tmp_path: Path) -> None:
    """So that what the table's bundles are refused for is what was spoilt."""
    shutil.copytree(bundle, tmp_path / "bundle")
    mend(tmp_path / "bundle")
    assert isinstance(load_bundle(tmp_path / "bundle"), Bundle)


# --- any input at all

ANY = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
SUFFIXES = ("png", "jpg", "bmp", "tif", "webp", "npy", "npz", "", "txt")
ARRAY = npz({"images.npy": npy_header(HEADER.replace("(16", "(1, 1, 16"))})
WHOLE = [*SOUND.values(), ARRAY, npy_header(HEADER)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound file with some bytes written over, put in or taken out."""
    data = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        place, length = draw(st.integers(0, len(data))), draw(st.integers(0, 40))
        data[place : place + length] = draw(st.binary(max_size=40))
    return bytes(data)


def outcome(kind: type[Exception], call: Callable[..., T], *args: Any) -> T | str:
    """What a call gives, or the one line that it refuses with."""
    try:
        return call(*args)
    except kind as error:
        return str(error)


def of_bytes(name: str, data: bytes) -> None:
    found = outcome(DataError, read_bytes, name, data, SHAPE)
    if isinstance(found, str):
        assert is_one_line(found)
        return
    assert found
    for one in found:
        assert one.image.shape == (1, *SHAPE)
        assert one.image.dtype == torch.float32
        assert one.image.min() >= 0
        assert one.image.max() <= 1


@ANY
@given(data=st.binary(max_size=400), suffix=st.sampled_from(SUFFIXES), stem=st.text(max_size=12))
def test_any_bytes_are_evidence_or_one_line(data: bytes, suffix: str, stem: str) -> None:
    of_bytes(f"{stem}.{suffix}", data)


@ANY
@given(data=damaged(), suffix=st.sampled_from(SUFFIXES))
def test_any_damage_is_evidence_or_one_line(data: bytes, suffix: str) -> None:
    of_bytes(f"a.{suffix}", data)


@ANY
@given(text=st.text(max_size=120), version=st.tuples(st.integers(0, 4), st.integers(0, 1)))
def test_any_header_of_an_array_is_evidence_or_one_line(text: str, version: tuple[int, int]) -> None:
    data = npy_header(text, version=version)
    of_bytes("a.npy", data)
    of_bytes("a.npz", npz({"images.npy": data}))


@ANY
@given(
    array=hnp.arrays(
        st.one_of(hnp.scalar_dtypes(), hnp.nested_dtypes(max_itemsize=64), st.just(np.dtype("f4"))),
        st.one_of(
            hnp.array_shapes(min_dims=0, max_dims=4, max_side=17), st.sampled_from([(16, 16), (1, 16, 16), (16, 16, 3)])
        ),
    )
)
def test_any_array_is_evidence_or_one_line(array: np.ndarray) -> None:
    found = outcome(DataError, from_array, "a", array, SHAPE)
    if isinstance(found, str):
        assert is_one_line(found)
        return
    assert found.image.shape == (1, *SHAPE)
    assert found.image.min() >= 0
    assert found.image.max() <= 1


@ANY
@given(
    image=hnp.arrays(np.uint8, (16, 16)),
    times=st.integers(1, 8),
    kind=st.sampled_from(["PNG", "BMP", "TIFF"]),
    mode=st.sampled_from(["L", "RGB", "RGBA", "LA"]),
)
def test_what_is_stored_without_loss_comes_back(image: np.ndarray, times: int, kind: str, mode: str) -> None:
    file = io.BytesIO()
    large = Image.fromarray(image.repeat(times, 0).repeat(times, 1))
    large.convert("L" if kind == "BMP" and mode == "LA" else mode).save(file, kind)
    (found,) = read_bytes("a", file.getvalue(), SHAPE)
    assert torch.equal((found.image * 255).round().to(torch.uint8)[0, 0], torch.from_numpy(image))
    assert found.condition.pixels == "uint8"


@ANY
@given(words=st.lists(st.text(max_size=12), max_size=4))
def test_any_words_are_a_prior_or_one_line(words: list[str]) -> None:
    prior = outcome(DataError, parse_prior, words)
    assert is_one_line(prior) if isinstance(prior, str) else len(prior) == len(words)


@ANY
@given(prior=st.dictionaries(st.text(st.characters(exclude_characters="="), min_size=1, max_size=9), st.floats()))
def test_a_prior_that_is_written_is_read(prior: dict[str, float]) -> None:
    found = parse_prior([f"{name}={share!r}" for name, share in prior.items()])
    assert found == pytest.approx(prior, nan_ok=True)


@ANY
@given(
    rivals=st.dictionaries(st.floats(1e-3, 1e3), st.floats(0, 1), min_size=1, max_size=6),
    zero=st.booleans(),
)
def test_an_estimate_lies_among_the_known_settings(rivals: dict[float, float], zero: bool) -> None:
    shares = rivals | ({0.0: 0.5} if zero else {})
    names = {"victim": "v", "kind": "single step", "family": "fgsm", "norm": "l2", "toolchain": "redhanded"}
    panel = Panel.__new__(Panel)
    panel.attributor = Forensic()  # which has no densities of its own
    panel.sets = {
        str(value): SetEntry.model_validate(names | {"setting": {"eps": value}, "label": str(value), "control": False})
        for value in shares
    }
    ranked = [Alternative(name=str(value), probability=share, words="") for value, share in shares.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (estimate,) = panel.estimates(
            Finding(ranked=ranked, prediction_set=[], coverage=0.9, likelihood_ratio=1.0, measured=None),
            torch.zeros(1, 0),
        )
    smallest, largest = min(shares) * (1 - 1e-9), max(shares) * (1 + 1e-9)
    assert smallest <= estimate.low <= estimate.value * (1 + 1e-9)
    assert estimate.value <= estimate.high * (1 + 1e-9) <= largest * (1 + 1e-8)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def changed_card(draw: st.DrawFn, card: dict[str, Any]) -> dict[str, Any]:
    """The card with one value anywhere in it replaced by any other, or left out."""
    whole = json.loads(json.dumps(card))
    place: Any = whole
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
            break
        place = inner
    if draw(st.booleans()):
        place[key] = draw(JSON)
    else:
        del place[key]
    return whole


@pytest.fixture(scope="module")
def copy(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / "bundle"
    shutil.copytree(bundle, folder)
    return folder


@settings(ANY, max_examples=200)
@given(data=st.data())
def test_any_card_is_a_card_or_one_line(copy: Path, bundle: Path, data: st.DataObject) -> None:
    card = data.draw(changed_card(json.loads((bundle / CARD).read_text())))
    path = copy / CARD
    path.write_text(json.dumps(card))
    strict = outcome(BundleError, read_json, path)
    if isinstance(strict, str):
        assert is_one_line(strict)
        return
    assert isinstance(outcome(RedhandedError, read_record, BundleCard, path), BundleCard | str)


@settings(ANY, max_examples=25)
@given(data=st.data())
def test_any_change_of_a_card_is_a_bundle_or_one_line(copy: Path, bundle: Path, data: st.DataObject) -> None:
    card = data.draw(changed_card(json.loads((bundle / CARD).read_text())))
    (copy / CARD).write_text(json.dumps(card))
    found = outcome(BundleError, load_bundle, copy)
    assert is_one_line(found) if isinstance(found, str) else isinstance(found, Bundle)


@settings(ANY, max_examples=100)
@given(text=st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_is_json_or_one_line(copy: Path, text: str | bytes) -> None:
    path = copy / "any.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    found = outcome(BundleError, read_json, path)
    assert is_one_line(found) if isinstance(found, str) else isinstance(found, dict)


def test_the_properties_know_every_kind_of_array() -> None:
    assert {f".{suffix}" for suffix in SUFFIXES} > ARRAYS.keys()
