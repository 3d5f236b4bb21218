"""The SHA-256 of every input as received, as `sha256sum --check` reads it."""

from collections.abc import Sequence

from redhanded.bundle import Bundle
from redhanded.verdicts.verdict import Failure, Verdict

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})  # as coreutils writes them


def write_manifest(answers: Sequence[Verdict | Failure], bundle: Bundle) -> str:
    """The lines of all files that could be read, of use or not; images that came from memory have none."""
    received: list[tuple[str, str]] = []
    for item in answers:
        if isinstance(item, Failure):
            received += [(item.name, item.sha256)] if item.sha256 else []
        elif item.condition.file_format != "array":
            received += zip(item.files, item.sha256, strict=True)
    lines = []
    for file, digest in received:
        name = "./-" if file == "-" else file  # which would be standard input
        escaped = name.translate(_ESCAPES)
        lines.append(f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n")
    return "".join(dict.fromkeys(lines))
