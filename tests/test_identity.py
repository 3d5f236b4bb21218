"""Keys and seeds: equal for equal things everywhere, different for different ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from redhanded.identity import code_digest, digest, file_digest, imports_of, seed_for


def test_a_key_does_not_depend_on_the_process_or_the_order_of_keys() -> None:
    code = (
        "from redhanded.identity import digest, seed_for; print(digest({'a': 1, 'b': [2.5, None]}), seed_for('x', 3))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] == [digest({"b": [2.5, None], "a": 1}), str(seed_for("x", 3))]


def test_different_things_have_different_keys_and_seeds() -> None:
    things: list[tuple[object, ...]] = [("a", "b"), ("ab",), ("a", ["b"]), (1,), ("1",), (1.5,), (None,), ()]
    assert len({digest(*thing) for thing in things}) == len(things)
    seeds = {seed_for(*thing) for thing in things}
    assert len(seeds) == len(things)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_nan_has_no_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))


def test_file_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert file_digest(tmp_path / "file") == expected


def test_code_counts_by_what_it_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {
        "plain": "def f(x):\n    return x + 1\n",
        "commented": '"""A module."""\n\n\ndef f(x):  # why\n    """Add one."""\n    return (x + 1)\n',
        "other": "def f(x):\n    return x + 2\n",
    }
    for name, text in sources.items():
        (tmp_path / f"redhanded_test_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    plain, commented, other = (code_digest((f"redhanded_test_{name}",)) for name in sources)
    assert plain == commented != other


def test_imports_are_followed() -> None:
    found = imports_of("redhanded.attacks.pgd")
    assert {"redhanded.attacks.pgd", "redhanded.attacks.ascent", "redhanded.attacks.spec"} <= set(found)
    assert {"redhanded.norms", "redhanded.identity"} <= set(found)  # imported by what it imports
    assert "redhanded.attacks.deepfool" not in found
    assert "redhanded.attributors.forensic" not in imports_of("redhanded.attributors.cnn6")  # a row of the same table
    assert found == tuple(sorted(found))
