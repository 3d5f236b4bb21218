"""Attack specifications from text and from names, with errors that say what was expected."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from redhanded.attacks import ATTACKS, AttackSpec
from redhanded.errors import AttackError

_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*")
_PARAMETER = re.compile(r"\s*(\w+)\s*=\s*(\S+)\s*")


def parse_attack(text: str) -> AttackSpec:
    """The specification that `text` names, e.g. `deepfool(norm=l2, overshoot=0.02)`; the inverse of `str`.

    Parameters that are left out have their defaults. Raises AttackError, in one line, for a text of another
    form, an unknown family or parameter, and a value out of range.
    """
    call = _CALL.fullmatch(text)
    if call is None:
        raise AttackError(f"expected an attack such as 'deepfool(norm=l2, overshoot=0.02)', found {text!r}")
    family, inside = call.group(1), (call.group(2) or "").strip()
    parameters: dict[str, Any] = {}
    for part in inside.split(",") if inside else []:
        found = _PARAMETER.fullmatch(part)
        if found is None:
            raise AttackError(f"expected name=value in the attack {text!r}, found {part.strip()!r}")
        name, value = found.groups()
        if name in parameters:
            raise AttackError(f"expected each parameter once in the attack {text!r}, found {name!r} twice")
        parameters[name] = None if value == "None" else value  # pydantic reads the numbers
    return make_attack(family, **parameters)


def make_attack(family: str, /, **parameters: Any) -> AttackSpec:
    """The specification of a family in `ATTACKS` with these parameters; AttackError as in `parse_attack`."""
    if family not in ATTACKS:
        raise AttackError(_unknown("attack", family, ATTACKS))
    kind = ATTACKS[family].spec
    for name in parameters:
        if name not in kind.model_fields:
            raise AttackError(_unknown(f"parameter of {family}", name, kind.model_fields))
    try:
        return kind(**parameters)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise AttackError(f"expected the parameter {where} of {family}, found none") from None
        reason = first["msg"].removeprefix("Input should be ")
        raise AttackError(f"expected {where} of {family} to be {reason}, found {first['input']!r}") from None


def _unknown(what: str, found: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(found, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"expected the {what} to be one of {', '.join(names)}, found {found!r}{hint}"
