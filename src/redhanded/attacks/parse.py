"""Attack specifications from text and from names, with errors that say what was expected."""

import re
from typing import Any

from redhanded.attacks.spec import AttackSpec
from redhanded.attacks.table import ATTACKS
from redhanded.errors import AttackError, expected_one_of

_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*")
_COMMA = re.compile(r",(?![^()]*\))")  # those of a range do not part parameters
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
    for part in _COMMA.split(inside) if inside else []:
        parameter = _PARAMETER.fullmatch(part)
        if parameter is None:
            raise AttackError(f"expected name=value in the attack {text!r}, found {part.strip()!r}")
        name, value = parameter.groups()
        if name in parameters:
            raise AttackError(f"expected each parameter once in the attack {text!r}, found {name!r} twice")
        parameters[name] = None if value == "None" else value  # pydantic reads the numbers
    return make_attack(family, **parameters)


def make_attack(family: str, /, **parameters: Any) -> AttackSpec:
    """The specification of a family in `ATTACKS` with these parameters; AttackError as in `parse_attack`."""
    if family not in ATTACKS:
        raise AttackError(expected_one_of("the attack", family, ATTACKS))
    return ATTACKS[family].spec(**parameters)
