"""The SHA-256 of every input as received, as `sha256sum --check` reads it."""

from collections.abc import Sequence

from redhanded.bundle import Bundle
from redhanded.desk.records import Verdict

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})  # as coreutils writes them


def write_manifest(verdicts: Sequence[Verdict], bundle: Bundle) -> str:
    """One line for each file, in the order of the verdicts; images that came from memory have none."""
    lines = [
        _line(digest, file)
        for verdict in verdicts
        if verdict.condition.file_format != "array"
        for file, digest in zip(verdict.files, verdict.sha256, strict=True)
    ]
    return "".join(dict.fromkeys(lines))


def _line(digest: str, file: str) -> str:
    name = "./-" if file == "-" else file  # which would be standard input
    escaped = name.translate(_ESCAPES)
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"
