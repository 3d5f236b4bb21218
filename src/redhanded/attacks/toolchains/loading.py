"""Import the attack libraries: quietly, and with the command that installs the one that is missing."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from redhanded.core import untouched_random_state
from redhanded.errors import AttackError

if TYPE_CHECKING:
    from redhanded.attacks.toolchains import Toolchain


def load_toolchain(name: str) -> ModuleType:
    """The top package of a toolchain's library, with the submodules that its attacks are in.

    What the library warns of while it is imported is not shown, and the global random states stay as they were.
    Raises AttackError, with the install command, where it cannot be imported.
    """
    row = _row(name)
    with warnings.catch_warnings(action="ignore"), untouched_random_state(), _standing_in(row.unneeded):
        try:
            for module in row.modules:
                import_module(module)
            return import_module(row.package)
        except ImportError as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise AttackError(f"expected the toolchain {name}, found: {reason}; install it: {row.install}") from error


def installed(name: str) -> bool:
    """Whether a toolchain's library is there, without importing it."""
    row = _row(name)
    # Both, since another distribution may hold a package of the same name: there is an `art` that draws letters.
    return _version(row) is not None and find_spec(row.package) is not None


def toolchain_version(name: str) -> str:
    """The installed version of a toolchain's library; raises AttackError, with the install command, for none."""
    row = _row(name)
    installed_version = _version(row)
    if installed_version is None:
        raise AttackError(f"expected the toolchain {name}, found no {row.distribution}; install it: {row.install}")
    return installed_version


def _row(name: str) -> "Toolchain":
    from redhanded.attacks.toolchains import TOOLCHAINS  # the rows are made of what needs this module

    for known, row in TOOLCHAINS.items():
        if known == name:
            return row
    raise AttackError(f"expected a toolchain of {', '.join(TOOLCHAINS)}, found {name!r}; choose one of these")


def _version(row: "Toolchain") -> str | None:
    try:
        return version(row.distribution)
    except PackageNotFoundError:
        return None


@contextmanager
def _standing_in(packages: Sequence[str]) -> Iterator[None]:
    """Let an empty module stand in for each package that is missing.

    adv-lib imports visdom, the client of a plotting server that no longer builds with a current setuptools, for a
    callback that nobody has to give.
    """
    missing = {package: ModuleType(package) for package in packages if find_spec(package) is None}
    sys.modules.update(missing)
    try:
        yield
    finally:
        for package in missing:
            del sys.modules[package]
