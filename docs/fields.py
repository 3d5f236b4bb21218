"""A griffe extension: a class's fields stand in one table, each with the comment or description behind it."""

import ast
import re
from typing import Any

from griffe import Attribute, Class, Expr, Extension, Module

COMMENT = re.compile(r"#\s+(.*?)\s*$")
DESCRIPTION = re.compile(r"description=(\"[^\"]*\"|'[^']*')")


class Fields(Extension):
    """Appends a section `Attributes:` to the docstring of every class that has fields."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Go through all modules once they are loaded, so that inherited fields are found as well."""
        for module in [pkg, *_modules_below(pkg)]:
            for found in module.classes.values():
                if not found.is_alias and found.docstring:
                    rows = [f"    {field.name}: {_said_of(field)}" for field in _fields(found)]
                    found.docstring.value += "\n\nAttributes:\n" + "\n".join(rows) if rows else ""


def _modules_below(module: Module) -> list[Module]:
    own = [inner for inner in module.modules.values() if not inner.is_alias]
    return own + [deeper for inner in own for deeper in _modules_below(inner)]


def _fields(found: Class) -> list[Attribute]:
    """Annotated public attributes that every object has, the bases' first."""
    owners = [*reversed(found.mro()), found]
    attributes = {name: field for owner in owners for name, field in owner.attributes.items()}
    return [field for name, field in attributes.items() if not name.startswith("_") and _is_field(field)]


def _is_field(field: Attribute) -> bool:
    annotation = field.annotation
    shared = isinstance(annotation, Expr) and annotation.canonical_name == "ClassVar"
    return annotation is not None and not shared and "property" not in field.labels


def _said_of(field: Attribute) -> str:
    """What a docstring, `Field(description=)` or a comment at the end of a line says of it."""
    if field.docstring:
        return field.docstring.value.replace("\n", " ")
    text = " ".join(field.lines)
    described = DESCRIPTION.search(text)
    if described:
        return str(ast.literal_eval(described[1]))
    comments = [comment[1] for comment in map(COMMENT.search, field.lines) if comment]
    return " ".join(comments)
