"""Named exceptions: a user's mistake, told in one line that says what was expected, what was found, what to do."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any


class RedhandedError(Exception):
    """The parent of every error that a user can cause; the command line prints its text and exits with 2."""


class DataError(RedhandedError):
    """Images or labels that cannot be used: a missing key, a wrong type, a wrong shape, a truncated file."""


class AttackError(RedhandedError):
    """An attack specification that is out of range, or a model that an attack cannot be run on."""


class StudyError(RedhandedError):
    """A study file, a name in it or an override that does not resolve."""


class RunError(RedhandedError):
    """A run directory that is missing, busy, damaged or of another study."""


@contextmanager
def writing(what: object, kind: type[RedhandedError]) -> Iterator[None]:
    """Turn an OSError while something is written into an error of the kind that is given."""
    try:
        yield
    except OSError as error:
        raise kind(f"expected to write {what}, found: {error.strerror or error}") from None


def printable(text: str) -> str:
    """The text with a question mark for every character that does not print, such as a terminal's codes."""
    return "".join(char if char.isprintable() else "?" for char in text)


def one_line(text: str) -> str:
    """The text as one printable line: each run of white space is a space."""
    return printable(" ".join(text.split()))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message, `; did you mean 'fgsm'?`, with the nearest known name; empty where none is near."""
    near = get_close_matches(str(name), list(known), n=1)  # a study's file may give a number
    return f"; did you mean {near[0]!r}?" if near else ""


def expected_one_of(what: str, found: str, known: Iterable[str]) -> str:
    """What is wrong with a name that is not among those known, with the nearest of them."""
    names = list(known)
    return f"expected {what} to be one of {', '.join(names)}, found {found!r}{did_you_mean(found, names)}"


def first_problem(error: Any, where: str = "") -> str:
    """The place and the message of the first thing wrong, e.g. `width: Input should be greater than 0`.

    error: what pydantic or FastAPI raises where data do not fit a model; where: stands before the place, or in place of
    it where all of the data are wrong.
    """
    problem = error.errors()[0]
    place = ".".join(map(str, (*filter(None, [where]), *problem["loc"])))
    return printable(f"{place}: {problem['msg']}" if place else problem["msg"])
