"""Keys and seeds: what a thing is decides its name in the store and every random draw made for it."""

import hashlib
import json
from pathlib import Path


def digest(*parts: object) -> str:
    """SHA-256 (64 hex digits) of JSON values, the same for equal values on every machine and in every process."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seed_for(*parts: object) -> int:
    """A seed in [0, 2**63) derived from what it is for, never from the clock or from global state."""
    return int(digest("seed", *parts)[:16], 16) >> 1


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
