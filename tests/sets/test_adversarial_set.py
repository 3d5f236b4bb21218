"""Adversarial sets on disk: whole whatever the order and the number of writers, and readable by others."""

import csv
import dataclasses
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from redhanded.attacks import FGSM, Clean, LogUniform
from redhanded.errors import RunError
from redhanded.sets import SET_EXPORTS, AdversarialSet, read_column, read_provenance, read_set, write_png, write_shard
from redhanded.sets.adversarial_set import COLUMNS, column_names
from redhanded.sets.export import export_npz, export_png

ATTACK = FGSM(norm="l2", eps=LogUniform(0.5, 2))
TOTAL, SHARD = 22, 5  # the last shard is not full
MEASURED = ["prediction_float32", "success_float32", "prediction_uint8", "success_uint8", "parameter_eps"]
PROVENANCE = {"attack": str(ATTACK), "victim": "a", "shard_images": SHARD}


def whole_set(channels: int = 3) -> AdversarialSet:
    generator = torch.Generator().manual_seed(8)
    draw = {
        name: torch.rand(TOTAL, generator=generator)
        if dtype == "float32"
        else torch.randint(0, 2 if dtype == "bool" else 3, (TOTAL,), generator=generator).to(getattr(torch, dtype))
        for name, dtype in COLUMNS.items()
    }
    images = torch.rand(TOTAL, channels, 16, 16, generator=generator)
    predictions = {pixels: torch.randint(0, 3, (TOTAL,), generator=generator) for pixels in ("float32", "uint8")}
    draw |= {"images": images, "index": torch.randperm(TOTAL, generator=generator) + 100}
    parameters = {"eps": torch.rand(TOTAL, generator=generator, dtype=torch.float64)}
    return AdversarialSet(attack=ATTACK, **draw, predictions=predictions, parameters=parameters)


def write(path: Path, whole: AdversarialSet, starts: list[int]) -> None:
    for start in starts:
        rows = {name: values[start : start + SHARD] for name, values in whole.columns().items()}
        write_shard(path, start, TOTAL, SHARD, rows, PROVENANCE)


def assert_same(one: AdversarialSet, other: AdversarialSet) -> None:
    assert one.attack == other.attack
    assert one.predictions.keys() == other.predictions.keys()
    assert one.columns().keys() == other.columns().keys()
    for name, found in one.columns().items():
        expected = other.columns()[name]
        assert found.dtype == expected.dtype, name
        assert torch.equal(found, expected), name


def test_the_columns_are_the_fields_and_what_was_measured() -> None:
    names = [field.name for field in dataclasses.fields(AdversarialSet)]
    assert names == ["attack", *COLUMNS, "predictions", "parameters"]
    assert list(whole_set().columns()) == [*COLUMNS, *MEASURED]


@pytest.mark.parametrize("starts", [[0, 5, 10, 15, 20], [20, 5, 15, 0, 10], [10, 10, 0, 20, 15, 5, 0]], ids=str)
def test_the_order_of_shards_does_not_matter(tmp_path: Path, starts: list[int]) -> None:
    whole = whole_set()
    write(tmp_path / "deep" / "set.zarr", whole, starts)
    found = read_set(tmp_path / "deep" / "set.zarr", ATTACK)
    assert_same(found, whole)
    assert len(found) == TOTAL
    assert read_provenance(tmp_path / "deep" / "set.zarr") == PROVENANCE


def write_every_other(path: Path, first: int, barrier: "multiprocessing.synchronize.Barrier") -> None:
    """The shards `first`, `first` + 2, ..., each when the other process is at its own."""
    whole = whole_set()
    for start in range(first * SHARD, TOTAL + SHARD, 2 * SHARD):
        barrier.wait(30)
        if start < TOTAL:
            write(path, whole, [start])


@pytest.mark.slow
def test_two_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    path = tmp_path / "set.zarr"
    other = context.Process(target=write_every_other, args=(path, 0, barrier))
    other.start()
    write_every_other(path, 1, barrier)
    other.join(60)
    assert other.exitcode == 0
    assert_same(read_set(path, ATTACK), whole_set())


def test_each_shard_has_files_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "set.zarr", whole_set(), [0])
    before = {path: path.read_bytes() for path in (tmp_path / "set.zarr").rglob("c/*") if path.is_file()}
    write(tmp_path / "set.zarr", whole_set(), [5, 20])
    after = {path: path.read_bytes() for path in (tmp_path / "set.zarr").rglob("c/*") if path.is_file()}
    assert len(before) >= len(COLUMNS) - 1  # `images` has a deeper folder
    assert all(after[path] == content for path, content in before.items())


def test_some_rows_of_one_column(tmp_path: Path) -> None:
    whole = whole_set()
    write(tmp_path / "set.zarr", whole, [0, 5, 10, 15, 20])
    for rows in ([3, 4, 21], []):
        found = read_column(tmp_path / "set.zarr", "images", np.array(rows, dtype=np.int64))
        assert np.array_equal(found, whole.images[torch.tensor(rows, dtype=torch.int64)].numpy())


def test_success_is_attacked_changed_and_wrong_under_the_pixel_protocol() -> None:
    fooled, right = torch.ones(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    attacked, linf = torch.tensor([True, True, False, True]), torch.tensor([0.1, 0.0, 0.1, 0.1])
    made = dataclasses.replace(
        whole_set(),
        label=torch.tensor([0, 0, 0, 0]),
        attacked=attacked,
        linf=linf,
        predictions={"float32": fooled, "uint8": right},
    )
    assert made.success("float32").tolist() == made.eligible("float32").tolist() == [True, False, False, True]
    assert made.success("uint8").tolist() == made.eligible("uint8").tolist() == [False] * 4
    control = dataclasses.replace(made, attack=Clean())
    assert control.eligible("float32").tolist() == control.eligible("uint8").tolist() == attacked.tolist()


def test_what_is_measured_later_becomes_columns_of_the_set(tmp_path: Path) -> None:
    path, whole = tmp_path / "set.zarr", whole_set()
    columns = whole.columns()
    for names in ([*COLUMNS], MEASURED[:2], MEASURED[2:]):
        for start in range(0, TOTAL, SHARD):
            rows = {name: columns[name][start : start + SHARD] for name in names}
            write_shard(path, start, TOTAL, SHARD, rows, PROVENANCE if names == [*COLUMNS] else {})
        assert set(names) <= set(column_names(path))
    assert_same(read_set(path, ATTACK), whole)
    assert read_provenance(path) == PROVENANCE


@pytest.mark.parametrize("what", ["nothing there", "an empty folder", "another column"])
def test_a_missing_set_is_told_in_one_line(tmp_path: Path, what: str) -> None:
    path, column = tmp_path / "set.zarr", "l2"
    if what == "an empty folder":
        path.mkdir()
    if what == "another column":
        write(path, whole_set(), [0])
        column = "l3"
    with pytest.raises(RunError, match=r"set\.zarr") as caught:
        read_column(path, column)
    assert "\n" not in str(caught.value)
    if what != "another column":
        for read in (read_provenance, lambda path: read_set(path, ATTACK)):
            with pytest.raises(RunError, match=r"set\.zarr"):
                read(path)


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, AdversarialSet]:
    whole = whole_set()
    write(tmp_path / "set.zarr", whole, [0, 5, 10, 15, 20])
    return tmp_path / "set.zarr", whole


def test_npz_holds_every_column_and_nothing_else(stored: tuple[Path, AdversarialSet], tmp_path: Path) -> None:
    path, whole = stored
    assert export_npz(path, tmp_path / "set.npz") == TOTAL
    with np.load(tmp_path / "set.npz", allow_pickle=False) as content:
        assert set(content) == {*COLUMNS, *MEASURED}
        for name, values in whole.columns().items():
            assert content[name].dtype == values.numpy().dtype
            assert np.array_equal(content[name], values.numpy())


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_what_still_fools_its_victim(tmp_path: Path, channels: int) -> None:
    whole = whole_set(channels)
    write(tmp_path / "set.zarr", whole, [0, 5, 10, 15, 20])
    kept = whole.success("uint8").nonzero().flatten()
    assert 0 < len(kept) < TOTAL
    assert not torch.equal(whole.success("uint8"), whole.success("float32"))
    assert export_png(tmp_path / "set.zarr", tmp_path / "out") == len(kept)
    names = {f"{index:06d}.png" for index in whole.index[kept].tolist()}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"images.csv"}
    with (tmp_path / "out" / "images.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(kept)
    for line, row in zip(table, kept.tolist(), strict=True):
        assert line["file"] == f"{int(whole.index[row]):06d}.png"
        assert line["attack"] == str(ATTACK)
        for name, values in whole.columns().items():
            if name != "images":
                found = float({"True": "1", "False": "0"}.get(line[name], line[name]))
                assert found == pytest.approx(float(values[row]))
        with Image.open(tmp_path / "out" / line["file"]) as image:
            assert image.mode == {1: "L", 3: "RGB"}[channels]
            pixels = np.asarray(image).reshape(16, 16, channels).transpose(2, 0, 1)
        assert np.array_equal(pixels, (whole.images[row] * 255).round().numpy())


def test_levels_survive_a_png(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    write_png(levels.astype(np.float32) / 255, tmp_path / "levels.png")
    with Image.open(tmp_path / "levels.png") as image:
        assert np.array_equal(np.asarray(image), levels[0])


@pytest.mark.parametrize("kind", SET_EXPORTS)
def test_an_export_of_nothing_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(RunError, match=r"none\.zarr"):
        SET_EXPORTS[kind](tmp_path / "none.zarr", tmp_path / "out")
