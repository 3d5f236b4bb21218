"""Numbers and words as a report writes them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

ABSENT = "—"


def percent(share: float | None) -> str:
    """Write a share in per cent: `0.8132` as `81.3`."""
    return ABSENT if share is None else f"{100 * share:.1f}"


def bounds(interval: tuple[float, float] | None) -> str:
    """Write an interval in per cent: `(0.781, 0.842)` as `78.1–84.2`."""
    return ABSENT if interval is None else f"{percent(interval[0])}–{percent(interval[1])}"


def averaged(shares: Sequence[float]) -> str:
    """Write the mean of a share over trainings in per cent, and half its range where there are several: `81.3 ±0.4`."""
    if not shares:
        return ABSENT
    return percent(fmean(shares)) + (f" ±{percent((max(shares) - min(shares)) / 2)}" if len(shares) > 1 else "")


def lost(difference: float | None) -> str:
    """Write a loss in percentage points, of which a gain is the negative: `11.3`, `−2.0`."""
    return ABSENT if difference is None else signed(difference).removeprefix("+")


def signed(difference: float) -> str:
    """Write a difference of shares in percentage points, with its sign: `+11.3`, `−2.0`."""
    points = round(100 * difference, 1)
    return f"{'−' if points < 0 else '+'}{abs(points):.1f}"


def p_text(p: float | None) -> str:
    """Write a corrected p-value: `p < 0.001` or `p = 0.012`; rounding never carries it to the level of the test."""
    if p is None:
        return ABSENT
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.6g}" if round(p, 3) == 0.05 else f"p = {p:.3f}"


def minutes(seconds: float) -> str:
    """Write seconds as minutes: `4.2 min`."""
    return f"{seconds / 60:.1f} min"


def short(value: float) -> str:
    """Write a number with three significant digits."""
    return f"{value:.3g}"


def count(number: int) -> str:
    """Write a whole number with its thousands apart: `1,234`."""
    return f"{number:,}"


def flatten(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Flatten a nested setting to rows `(path, value)`, in the order given; the innermost settings share a row."""
    if isinstance(value, Mapping):
        if path and not any(isinstance(inner, Mapping) for inner in value.values()):
            return [(path, ", ".join(f"{key} {inner}" for key, inner in value.items()))] if value else []
        return [row for key, inner in value.items() for row in flatten(inner, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list | tuple):
        return [(path, ", ".join(map(str, value)))] if value else []
    return [(path, str(value))]


def sentence(text: str) -> str:
    """Write a text with its first letter in upper case, and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def listed(names: Iterable[str]) -> str:
    """Join names: `a, b and c`."""
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def escape_markdown(value: object) -> str:
    """Write a value in one line, with everything that Markdown, a table or HTML would read as markup escaped."""
    text = " ".join(str(value).split())
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\`*\[\]|]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)
