"""What a bundle that cannot be trusted raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from redhanded.errors import RedhandedError

_LONGEST = 200  # characters of what was found; a hostile file may have anything in it
_REMEDY = "get the bundle again from whoever packed it"


class BundleError(RedhandedError):
    """A bundle that is missing, damaged, of another format, or holds what no bundle holds."""


def bad_bundle(where: object, expected: str, found: str, remedy: str = _REMEDY) -> BundleError:
    """A BundleError of one printable line: the place, what was expected, what was found, what to do."""
    return _one_line(f"{where}: expected {expected}, found {found[:_LONGEST]}", remedy)


def _one_line(text: str, remedy: str) -> BundleError:
    whole = " ".join(f"{text}; {remedy}".split())
    return BundleError("".join(char if char.isprintable() else "?" for char in whole))


@contextmanager
def trusting_nothing(where: object) -> Iterator[None]:
    """Turn whatever foreign numbers and cards make the reading code raise into a BundleError."""
    try:
        yield
    except BundleError:
        raise
    except RedhandedError as error:
        raise _one_line(str(error)[: 3 * _LONGEST], _REMEDY) from error
    except Exception as error:
        found = str(error).partition("\n")[0] or "nothing that can be said"
        raise bad_bundle(where, "a sound bundle", f"{type(error).__name__}: {found}") from error
