"""The SHA-256 of every input as received, as `sha256sum --check` reads it."""

from collections.abc import Iterable, Sequence

from redhanded.bundle import Bundle
from redhanded.verdicts.verdict import Failure, Verdict

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})  # as coreutils writes them


def write_manifest(found: Sequence[Verdict | Failure], bundle: Bundle) -> str:
    """One line for each file that could be read, of use or not; images that came from memory have none."""
    lines = [_line(digest, file) for one in found for file, digest in _received(one)]
    return "".join(dict.fromkeys(lines))


def _received(one: Verdict | Failure) -> Iterable[tuple[str, str]]:
    """Files and their digests."""
    if isinstance(one, Failure):
        return [(one.name, one.sha256)] if one.sha256 else []
    return zip(one.files, one.sha256, strict=True) if one.condition.file_format != "array" else []


def _line(digest: str, file: str) -> str:
    name = "./-" if file == "-" else file  # which would be standard input
    escaped = name.translate(_ESCAPES)
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"
