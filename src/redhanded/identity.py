"""Keys and seeds: what a thing is decides its name in the store and every random draw made for it."""

import ast
import hashlib
import importlib
import inspect
import json
from collections.abc import Sequence
from functools import cache
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


@cache
def code_digest(modules: Sequence[str]) -> str:
    """SHA-256 of what the named modules compute: comments, docstrings and formatting do not count."""
    return digest(*(ast.dump(_without_docstrings(name)) for name in modules))


@cache
def imports_of(module: str) -> tuple[str, ...]:
    """The module and the modules of its package that it imports, directly or through others, sorted by name.

    Only what stands at the top of a module: an import inside a function is how a table is looked up by those that
    stand in it.
    """
    package, found, waiting = module.split(".")[0], set[str](), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            imported = (node.module or "" for node in _tree(name).body if isinstance(node, ast.ImportFrom))
            waiting += [origin for origin in imported if origin.startswith(f"{package}.")]
    return tuple(sorted(found))


def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def _without_docstrings(module: str) -> ast.Module:
    tree = _tree(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree
