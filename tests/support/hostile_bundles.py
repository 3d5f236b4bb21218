"""Bundles that nobody should load: each a copy of a sound one that was spoilt, and what the error has to say of it."""

import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from redhanded.bundle.card import FORMAT
from support.hostile_files import Canary

CARD = "bundle.json"
BLIND = "attributors/blind-uint8"  # an attributor that is one network
ASKS = "attributors/candidates-uint8"
_ATTACKED = "alexnet/fgsm-l2-eps=6.0"  # a set of an attack
Spoil = Callable[[Path], object]
Json = dict[str, Any]


class Case(NamedTuple):
    """spoil: changes a copy of the bundle; mended: whether every checksum is made right afterwards."""

    spoil: Spoil
    says: str
    mended: bool = True


def edit(path: Path, change: Callable[[Json], object]) -> None:
    """Change a JSON file."""
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def mend(folder: Path) -> None:
    """Make every checksum right, from the inside out: what is left is for the other checks to find."""
    cards = sorted((folder / "attributors").rglob("card.json"), key=lambda path: -len(path.parts))
    for path in cards:
        card = json.loads(path.read_text())
        for name in card.get("files", {}):
            if (path.parent / name).is_file():
                card["files"][name] = _digest(path.parent / name)
        path.write_text(json.dumps(card))
    weights = {}
    for path in (folder / "victims").glob("*/card.json"):
        card = json.loads(path.read_text())
        card["weights_digest"] = weights[card["name"]] = _digest(path.with_name("weights.safetensors"))
        path.write_text(json.dumps(card))
    card = json.loads((folder / CARD).read_text())
    for victim in card.get("victims", []):
        victim["weights_digest"] = weights.get(victim["name"], victim["weights_digest"])
    found = [path for path in folder.rglob("*") if path.is_file()]
    card["files"] = {path.relative_to(folder).as_posix(): _digest(path) for path in found if path.name != CARD}
    (folder / CARD).write_text(json.dumps(card))


def _card(change: Callable[[Json], object]) -> Spoil:
    return lambda folder: edit(folder / CARD, change)


def _set(*keys: str | int, to: Any) -> Callable[[Json], object]:
    """card[key][key]... = to."""

    def change(card: Any) -> None:
        for key in keys[:-1]:
            card = card[key]
        card[keys[-1]] = to

    return change


def _part_card(part: str, change: Callable[[Json], object]) -> Spoil:
    return lambda folder: edit(folder / part / "card.json", change)


def _tensors(name: str, change: Callable[[dict[str, Tensor]], object]) -> Spoil:
    """Change a file of tensors."""

    def spoil(folder: Path) -> None:
        tensors = load_file(folder / name)
        change(tensors)
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)

    return spoil


def _write(name: str, data: bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return spoil


def _fill(name: str, value: float) -> Callable[[dict[str, Tensor]], object]:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[name].flatten()[0] = value

    return change


# --- the card


def _cards() -> Iterator[tuple[str, Case]]:
    def text(name: str, data: bytes, says: str = "expected plain JSON") -> tuple[str, Case]:
        return f"card {name}", Case(_write(CARD, data), says, mended=False)

    def replaced(name: str, old: str, new: str, says: str = "expected plain JSON") -> tuple[str, Case]:
        def spoil(folder: Path) -> None:
            card = (folder / CARD).read_text()
            assert old in card
            (folder / CARD).write_text(card.replace(old, new, 1))

        return f"card {name}", Case(spoil, says, mended=False)

    current = f'"format": {FORMAT}'
    yield text("empty", b"")
    yield text("of text", b"hello")
    yield text("a list", b"[]", "expected a JSON object")
    yield text("a number", b"1", "expected a JSON object")
    yield text("binary", bytes(range(256)))
    yield text("in UTF-16", f"{{{current}}}".encode("utf-16"))
    yield text("with a mark in front", b"\xef\xbb\xbf{}")
    yield text("nested deeply", b"[" * 200_000 + b"]" * 200_000)
    yield text("nested deeply in names", b'{"study":' * 50_000 + b"1" + b"}" * 50_000)
    yield text("too large", f'{{{current}, "study": "'.encode() + b"a" * (9 << 20) + b'"}', "at most 8,388,608 bytes")
    names = b"{" + b",".join(b'"%d":1' % place for place in range(400_000)) + b"}"
    yield text("of many names", names, f"format {FORMAT}")
    yield text("with one name many times", b"{" + b'"a":1,' * 600_000 + b'"a":1}', "a name twice: a")
    yield text("with a pickle", pickle.dumps({"format": FORMAT}))
    yield replaced("with NaN", current, '"format": NaN')
    yield replaced("with Infinity", '"ece": ', '"ece": Infinity, "a": ', "not finite: Infinity")
    yield replaced("with a number too large", '"accuracy": ', '"accuracy": 1e999, "a": ', "not finite: 1e999")
    yield replaced("with a long number", '"n": ', f'"n": {"9" * 5000}, "a": ', "a number of 5000 digits")
    yield replaced("with a name twice", current, f"{current}, {current}", "a name twice: format")
    yield replaced("torn", '"sets"', "\0", "expected plain JSON")
    yield replaced("with half a surrogate", '"source": "', '"source": "\\ud800', "BundleCard")
    for value in ("", 0, FORMAT - 1, FORMAT + 1, str(FORMAT), None, 1.5, [1]):
        yield f"format {value!r}", Case(_card(_set("format", to=value)), f"expected a bundle of format {FORMAT}")
    keys = ("version", "study", "commit", "source", "shape", "sets", "parts", "victims_inside", "examples", "limits")
    for key in keys:
        yield f"card without {key}", Case(_card(lambda card, key=key: card.pop(key)), key)
    yield "card with more", Case(_card(_set("more", to=1)), "more: Extra inputs are not permitted")
    for shape in ([4, 16, 16], [1, 8, 8], [1, 10**9, 10**9], [1, 16], [1, 16, 16, 1], [0, 0, 0], [1, -16, 16], "all"):
        yield f"shape {shape}", Case(_card(_set("shape", to=shape)), "shape")
    yield "shape of others", Case(_card(_set("shape", to=[3, 16, 16])), "expected ")
    yield "no parts", Case(_card(_set("parts", to=[])), "parts")
    yield "no sets", Case(_card(_set("sets", to={})), "sets")
    yield "no examples", Case(_card(_set("examples", to=[])), "examples")
    yield "too many sets", Case(_card(_many_sets), "sets")
    yield "name with codes", Case(_card(_renamed("\x1b[31m")), "a name that cannot be printed")
    yield "name too long", Case(_card(_renamed("n" * 5000)), "at most 200 characters")
    yield "code in a key", Case(_card(_set("\x1b]0;title\x07\n", to=1)), "expected a BundleCard")
    yield "a long key", Case(_card(_set("k" * 100_000, to=1)), "expected a BundleCard")


def _many_sets(card: Json) -> None:
    entry = next(iter(card["sets"].values()))
    card["sets"] |= {f"more{place}": entry for place in range(1001)}


def _renamed(family: str) -> Callable[[Json], object]:
    return lambda card: next(iter(card["sets"].values())).update(family=family)


# --- parts and victims, as the card has them


def _places() -> Iterator[tuple[str, Case]]:
    says = "expected attributors and victims at files of the card"
    for folder in (
        "../bundle",
        "/etc",
        f"attributors/../{BLIND}",
        f"./{BLIND}",
        "",
        ".",
        "attributors",
        "victims/\0",
        f"{BLIND}/",
    ):
        yield f"part at {folder!r}", Case(_card(_set("parts", 0, "folder", to=folder)), says)
    for name in ("../victims/alexnet", "/etc", "..", "", "alexnet/../alexnet", "nobody"):
        yield f"victim at {name!r}", Case(_card(_set("victims", 0, "name", to=name)), says)
    yield "part twice", Case(_card(lambda card: card["parts"].append(card["parts"][0])), "found two for one")
    for kind in ("cnn6", "elf", "magnitude", "__class__", "redhanded.attributors.Oracle"):
        yield f"attributor {kind}", Case(_card(_set("parts", 0, "attributor", to=kind)), "expected an attributor of ")
    yield "attributor of another kind", Case(_card(_set("parts", 0, "attributor", to="oracle")), "expected ")
    yield "knowledge unknown", Case(_card(_set("parts", 0, "knowledge", to="all")), "knowledge")
    yield "pixels unknown", Case(_card(_set("parts", 0, "pixels", to="uint16")), "pixels")
    yield "knowledge of another", Case(_card(_swapped), "expected the attributor of the card")
    yield "victims said to be outside", Case(_card(_set("victims_inside", to=False)), "expected the victims that")
    yield "victims left out", Case(_card(_set("victims", to=[])), "expected the victims that")
    for name, usual in {
        "empty": [],
        "one": [0.0],
        "descending": [1.0, 0.0],
        "text": ["a", "b"],
        "endless": [0.0] * 5000,
    }.items():
        yield f"usual {name}", Case(_card(_set("parts", 0, "usual", to=usual)), "usual")
    for value in (0, -1.0, 1e9, "hot", None):
        change = _set("parts", 0, "temperatures", "family", to=value)
        yield f"temperature {value!r}", Case(_card(change), "temperatures.family")
    for name, change in {
        "missing": lambda card: card["parts"][0]["temperatures"].pop("family"),
        "of no dimension": _set("parts", 0, "temperatures", "colour", to=1.0),
        "none": _set("parts", 0, "temperatures", to={}),
    }.items():
        yield f"temperatures {name}", Case(_card(change), "expected a temperature for each of ")
    yield "classes unknown", Case(_card(lambda card: card["sets"].popitem()), "expected classes that are sets")
    yield "a kind of its own", Case(_card(_set("sets", _ATTACKED, "kind", to="sorcery")), "kind")
    change = _set("sets", _ATTACKED, "kind", to="control")
    yield "an attack of the kind of controls", Case(_card(change), "a control that")
    yield "one family", Case(_card(_one_family), "expected an attributor of two families or more")
    yield "too many examples", Case(_card(lambda card: card["examples"].append(card["examples"][0])), "images")


def _swapped(card: Json) -> None:
    for part in card["parts"]:
        part["knowledge"] = {"blind": "oracle", "oracle": "blind"}.get(part["knowledge"], part["knowledge"])


def _one_family(card: Json) -> None:
    for entry in card["sets"].values():
        entry["family"] = "fgsm"


# --- files


def _files() -> Iterator[tuple[str, Case]]:
    weights = f"{BLIND}/weights.safetensors"
    changed = "expected the SHA-256 that the card has"
    yield "weights changed", Case(lambda folder: _flip(folder / weights), changed, mended=False)
    yield "examples changed", Case(lambda folder: _flip(folder / "examples.safetensors"), changed, mended=False)
    yield "part's card changed", Case(_part_card(BLIND, _set("seed", to=1)), changed, mended=False)
    for name, change in {
        "short": lambda digest: digest[:8],
        "empty": lambda digest: "",
        "upper case": str.upper,
        "of another": lambda digest: "0" * 64,
    }.items():
        yield f"hash {name}", Case(_card(partial(_other_hash, change)), changed, mended=False)
    named = "expected the files that the card names"
    yield "weights missing", Case(lambda folder: (folder / weights).unlink(), named, mended=False)
    yield "weights missing, unsaid", Case(lambda folder: (folder / weights).unlink(), "expected ")
    yield "examples missing", Case(lambda folder: (folder / "examples.safetensors").unlink(), "expected ")
    yield (
        "part's card missing",
        Case(lambda folder: (folder / BLIND / "card.json").unlink(), "expected attributors and"),
    )
    yield "file too many", Case(_write("more.json", b"{}"), f"{named}, found one that it does not name", mended=False)
    yield "hidden file", Case(_write(".more", b"{}"), named, mended=False)
    for name in ("../more.json", "/etc/passwd", "a/../b.json", "a\nb.json", "\0.json", "", "\x1b[2J.json"):
        yield f"file {name!r}", Case(_card(_set("files", name, to="0" * 64)), named, mended=False)
    plain = "expected a plain file that ends in .safetensors or .json"
    for name in ("weights.pt", "code.py", "weights.bin", "x.pkl", "weights.pt2", "model.onnx", "x.JSON", "noend"):
        yield f"file {name}", Case(_write(name, pickle.dumps(1)), plain)
    yield "pickle beside", Case(lambda folder: _pickled(folder / "x.pkl", folder), named, mended=False)
    for name in ("weights.safetensors", "held_out.safetensors", "gaussians.safetensors"):
        yield f"pickle as {name}", Case(lambda folder, name=name: _pickled(folder / BLIND / name, folder), "expected ")
    yield "link to a file", Case(lambda folder: _linked(folder / weights), plain)
    yield "link to a folder", Case(lambda folder: (folder / "more").symlink_to("/etc"), named, mended=False)
    yield "link to itself", Case(lambda folder: (folder / "more.json").symlink_to("more.json"), named, mended=False)
    yield "pipe", Case(lambda folder: os.mkfifo(folder / "more.json"), named, mended=False)
    yield "folder as a file", Case(_folder_as_file, "expected ", mended=False)
    yield "many files", Case(_many_files, "expected at most 1000 files", mended=False)
    yield (
        "sparse file",
        Case(lambda folder: os.truncate(folder / weights, 300 << 20), "of at most 268,435,456 bytes", mended=False),
    )
    yield "sparse files", Case(_sparse_files, "536,870,912 together", mended=False)


def _other_hash(change: Callable[[str], str], card: Json) -> None:
    name = next(iter(card["files"]))
    card["files"][name] = change(card["files"][name])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _pickled(path: Path, folder: Path) -> None:
    path.write_bytes(pickle.dumps(Canary(folder)))


def _linked(path: Path) -> None:
    path.rename(path.parents[3] / "outside.safetensors")
    path.symlink_to(path.parents[3] / "outside.safetensors")


def _both(first: Spoil, second: Spoil, folder: Path) -> None:
    first(folder)
    second(folder)


def _cast(name: str, dtype: torch.dtype, times: float = 1.0) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.update({name: (tensors[name] * times).to(dtype)})


def _folder_as_file(folder: Path) -> None:
    (folder / "examples.safetensors").unlink()
    (folder / "examples.safetensors").mkdir()


def _many_files(folder: Path) -> None:
    for place in range(1200):
        (folder / f"{place}.json").touch()


def _sparse_files(folder: Path) -> None:
    for place in range(3):
        (folder / f"{place}.safetensors").touch()
        os.truncate(folder / f"{place}.safetensors", 200 << 20)
    edit(folder / CARD, lambda card: card["files"].update({f"{place}.safetensors": "0" * 64 for place in range(3)}))


# --- tensors and networks


def _numbers() -> Iterator[tuple[str, Case]]:
    weights, held, examples = f"{BLIND}/weights.safetensors", f"{BLIND}/held_out.safetensors", "examples.safetensors"
    finite = "expected finite numbers, found others"
    for value in (float("nan"), float("inf"), -float("inf")):
        yield f"weight {value}", Case(_tensors(weights, _fill("1.0.weight", value)), finite)
        yield f"held-out feature {value}", Case(_tensors(held, _fill("features", value)), finite)
        yield f"held-out answer {value}", Case(_tensors(held, _fill("log_proba", value)), finite)
        yield f"victim's weight {value}", Case(_tensors("victims/alexnet/weights.safetensors", _first(value)), finite)
    for name, spoil, says in (
        ("of float64", _tensors(weights, _cast("1.0.weight", torch.float64)), "expected one of torch.float32"),
        ("infinite", _tensors(weights, _cast("1.0.weight", torch.float16, 1e9)), finite),
        ("labels", _tensors(held, _cast("labels", torch.float16)), "expected labels and index of torch.int64"),
        ("gaussians", _tensors(f"{BLIND}/gaussians.safetensors", _cast("centres", torch.float16)), "of torch.float32"),
        ("examples", _tensors(examples, _cast("images", torch.float16)), "images"),
    ):
        yield f"in 16 bits, {name}", Case(partial(_both, _card(_set("half", to=True)), spoil), says)
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.bool, torch.complex64):
        cast = lambda tensors, dtype=dtype: tensors.update({"1.0.weight": tensors["1.0.weight"].to(dtype)})  # noqa: E731
        yield f"weights of {dtype}", Case(_tensors(weights, cast), "expected one of torch.float32")
    shape = "expected the shape "
    yield "tensor missing", Case(_tensors(weights, lambda tensors: tensors.pop("1.0.weight")), "found no such tensor")
    yield "tensor too many", Case(_tensors(weights, lambda t: t.update(more=torch.zeros(1))), "expected no such tensor")
    yield "tensor of another shape", Case(_tensors(weights, _reshaped), shape)
    yield "weights without tensors", Case(_tensors(weights, dict.clear), shape)
    yield "weights too large to compute with", Case(_tensors(weights, _huge), "expected finite answers")
    for name, data in {
        "empty": b"",
        "of text": b"hello, I am no tensor",
        "with a header of exabytes": struct.pack("<Q", 2**62) + b"{}",
        "with a header that is none": struct.pack("<Q", 8) + b"notjson!",
        "with tensors beyond the end": _header({"1.0.weight": ("F32", [1 << 40], [0, 1 << 42])}),
        "with tensors that overlap": _header({name: ("F32", [4], [0, 16]) for name in "ab"}) + bytes(16),
        "with negative shapes": _header({"a": ("F32", [-4], [0, 16])}) + bytes(16),
        "of an unknown type": _header({"a": ("F99", [4], [0, 16])}) + bytes(16),
    }.items():
        yield f"safetensors {name}", Case(_write(weights, data), "expected ")
    for name, change in {
        "labels beyond": lambda tensors: tensors["labels"].fill_(10**6),
        "labels negative": lambda tensors: tensors["labels"].fill_(-1),
        "labels as floats": lambda tensors: tensors.update(labels=tensors["labels"].float() + 0.5),
        "fewer labels": lambda tensors: tensors.update(labels=tensors["labels"][1:]),
        "fewer classes": lambda tensors: tensors.update(log_proba=tensors["log_proba"][:, 1:]),
        "one image": lambda tensors: tensors.update({name: value[:1] for name, value in tensors.items()}),
        "no image": lambda tensors: tensors.update({name: value[:0] for name, value in tensors.items()}),
        "other features": lambda tensors: tensors.update(features=tensors["features"][:, 1:]),
        "features missing": lambda tensors: tensors.pop("features"),
        "more": lambda tensors: tensors.update(more=torch.zeros(1)),
        "features too large": lambda tensors: tensors["features"].fill_(3e38),
    }.items():
        yield f"held-out {name}", Case(_tensors(held, change), "expected ")
    gaussians = f"{BLIND}/gaussians.safetensors"
    for name in ("centres", "columns"):
        yield f"gaussians' {name} not a number", Case(_tensors(gaussians, _fill(name, float("nan"))), finite)
    for name, change in {
        "too large": lambda tensors: tensors["columns"].fill_(3e38),
        "of whole numbers": lambda tensors: tensors.update(centres=tensors["centres"].long()),
        "of no class": lambda tensors: tensors.update(centres=tensors["centres"][:0]),
        "of many classes": lambda tensors: tensors.update(centres=tensors["centres"][:1].repeat(5000, 1)),
        "of other features": lambda tensors: tensors.update(centres=tensors["centres"][:, 1:]),
        "with columns too short": lambda tensors: tensors.update(columns=tensors["columns"][1:]),
        "flat": lambda tensors: tensors.update(centres=tensors["centres"].flatten()),
        "without columns": lambda tensors: tensors.pop("columns"),
        "more": lambda tensors: tensors.update(more=torch.zeros(1)),
    }.items():
        yield f"gaussians {name}", Case(_tensors(gaussians, change), "expected ")
    yield (
        "gaussians missing",
        Case(lambda folder: (folder / gaussians).unlink(), "normal distributions of the features"),
    )
    yield "examples of floats", Case(_tensors(examples, lambda t: t.update(images=t["images"].float())), "images")
    yield "examples fewer", Case(_tensors(examples, lambda t: t.update(images=t["images"][1:])), "images")
    yield "examples flat", Case(_tensors(examples, lambda t: t.update(images=t["images"].flatten())), "images")
    yield "examples under another name", Case(_tensors(examples, lambda t: t.update(pics=t.pop("images"))), "expected ")


def _first(value: float) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: _fill(next(name for name in tensors if name.endswith("weight")), value)(tensors)


def _reshaped(tensors: dict[str, Tensor]) -> None:
    tensors["1.0.weight"] = tensors["1.0.weight"].flatten()


def _huge(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.endswith("weight"):
            tensor.fill_(3e38)


def _header(tensors: dict[str, tuple[str, list[int], list[int]]]) -> bytes:
    keys = ("dtype", "shape", "data_offsets")
    text = json.dumps({name: dict(zip(keys, entry, strict=True)) for name, entry in tensors.items()}).encode()
    return struct.pack("<Q", len(text)) + text


def _networks() -> Iterator[tuple[str, Case]]:
    for width in (4, 4.1, 0, -1, 1e9, "1", None):
        yield f"width {width!r}", Case(_part_card(BLIND, _set("settings", "width", to=width)), "expected ")
    for channels in (0, -1, 2, 10**9, 2**62):
        yield f"channels {channels}", Case(_part_card(BLIND, _set("channels", to=channels)), "expected ")
    yield "settings unknown", Case(_part_card(BLIND, _set("settings", "code", to="import os")), "expected ")
    yield "settings of training", Case(_part_card(BLIND, _set("settings", "training", "epochs", to=0)), "expected ")
    yield "kind unknown", Case(_part_card(BLIND, _set("kind", to="elf")), "expected an attributor of the kind forensic")
    yield "kind joined inside", Case(_part_card(BLIND, _set("kind", to="joined")), "expected an attributor of the kind")
    joined = f"{ASKS}/forensic"
    yield "joined in joined", Case(_part_card(joined, _set("kind", to="joined")), "expected ")
    yield "joined without a part", Case(lambda folder: (folder / joined / "card.json").unlink(), "expected ")
    for powers in ([1.0], [1.0] * 3, [-1.0, 1.0], [1e9, 1.0], ["1", None], 1.0):
        yield f"joined with powers {powers}", Case(_part_card(ASKS, _set("powers", to=powers)), "power")
    yield "joined of other images", Case(_tensors(f"{joined}/held_out.safetensors", _other_images), "held out")
    yield "classes twice", Case(_part_card(BLIND, _twice), "different classes")
    yield (
        "classes one",
        Case(_part_card(BLIND, lambda card: card.update(classes=card["classes"][:1])), "different classes"),
    )
    yield "classes none", Case(_part_card(BLIND, _set("classes", to=[])), "different classes")
    yield (
        "classes many",
        Case(_part_card(BLIND, _set("classes", to=list(map(str, range(100_000))))), "different classes"),
    )
    yield "classes fewer", Case(_part_card(BLIND, lambda card: card["classes"].pop()), "expected ")
    yield "part's shape", Case(_part_card(BLIND, _set("shape", to=[1, 10**9, 10**9])), "expected ")
    yield "part's card with more", Case(_part_card(BLIND, _set("more", to=1)), "expected ")
    yield "part's card with NaN", Case(_nan_inside, "expected plain JSON", mended=True)
    yield "part's files elsewhere", Case(_part_card(BLIND, _set("files", to={"../../x": "0" * 64})), "expected ")
    for key, value in {
        "width": 1e300,
        "classes": 10**9,
        "architecture": "__main__",
        "shape": [1, 10**6, 10**6],
        "name": "other",
    }.items():
        yield f"victim's {key}, inside", Case(partial(_victim, {key: value}, False), "expected the victim ")
        yield f"victim's {key}", Case(partial(_victim, {key: value}, True), "expected ")
    yield (
        "victim of another source, inside",
        Case(partial(_victim, {"source": "elsewhere"}, False), "the victim alexnet"),
    )
    yield "victim asked in vain", Case(_one_victim, "expected ")


def _twice(card: Json) -> None:
    card["classes"][1] = card["classes"][0]


def _other_images(tensors: dict[str, Tensor]) -> None:
    tensors["index"] += 1


def _nan_inside(folder: Path) -> None:
    path = folder / BLIND / "card.json"
    path.write_text(path.read_text().replace('"width": ', '"width": NaN, "a": '))


def _victim(values: Json, both: bool, folder: Path) -> None:
    edit(folder / "victims" / "alexnet" / "card.json", lambda card: card.update(values))
    if both:
        edit(folder / CARD, lambda card: card["victims"][0].update(values))


def _one_victim(folder: Path) -> None:
    """One victim fewer than the attributor asks."""
    edit(folder / CARD, lambda card: card["victims"].pop())


BUNDLES: dict[str, Case] = {
    name: case for part in (_cards, _places, _files, _numbers, _networks) for name, case in part()
}
