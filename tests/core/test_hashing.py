"""Keys and seeds: equal for equal things everywhere, different for different ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from redhanded.core import digest, file_digest, seed_for


def test_a_key_does_not_depend_on_the_process_or_the_order_of_keys() -> None:
    code = "from redhanded.core import digest, seed_for; print(digest({'a': 1, 'b': [2.5, None]}), seed_for('x', 3))"
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
