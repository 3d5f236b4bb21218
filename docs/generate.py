"""Write what is made from the tables, docstrings and models of the code: `python docs/generate.py`.

docs/attacks.md comes from the rows of `ATTACKS`, docs/reference/verdict.schema.json from `Verdict`, and what
`redhanded list` prints from all tables.
"""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from redhanded.attacks import ATTACKS, AttackKind, default_text
from redhanded.attacks.spec import Rule
from redhanded.attacks.toolchains import TOOLCHAINS
from redhanded.cli.catalogue import CATALOGUE, WRITTEN
from redhanded.verdicts.verdict import VERDICT_VERSION, Verdict

PAGE = Path(__file__).parent / "attacks.md"
SCHEMA = Path(__file__).parent / "reference" / "verdict.schema.json"
INTRODUCTION = """\
<!-- written by docs/generate.py from the rows of ATTACKS and the docstrings -->
# Attacks

Each attack is a frozen specification such as `FGSM(norm="l2", eps=1.0)`, in text `fgsm(norm=l2, eps=1.0)`, and a
function `run(model, images, labels, specifications)`. A specification can be called:

```python
from redhanded.attacks import DDN

images, steps = DDN(steps=50)(model, images, labels)
```

Images are in [0, 1], shape (n, c, h, w); `model` is in evaluation mode and gives logits; no attack is targeted; `steps`
is how often the model was asked for each image. `redhanded list attacks` prints the table, and
[Add an attack](add-an-attack.md) shows how to add a row. To measure success and distances too, on images that are
right at first, call `redhanded.generate`.

What holds for all of them, and is tested on every row: images and model are left as they were; the result has the
type, the shape and the range of the input; an image's result does not depend on its neighbours in the batch; an image
that is done costs the others nothing more than it must; random draws are made from the pixels of the image, the
specification and its `seed`, never from global state. In the formulas `x0` or `x` is the image, `J` the cross-entropy
of the logits and `|.|_dual` the dual norm (L2 for l2, L1 for linf).

## Toolchains
Every specification also has the parameter `toolchain`: the library whose code runs the attack. Ours is the default
and has all of the attacks; the others run a part of them, each in the limits that its adapter names in one line. What
a library draws begins at a seed made of the batch's images and of the specification.
`redhanded list toolchains` says which are installed, and how to install the others.
"""
SHORTCUTS = """
A *shortcut* is a parameter that leaves the published algorithm when it is not at its default. The label of an attack
names it, and no other toolchain accepts it.
"""
_AFTER_FORMULA = ("Args:", "Returns:", "Raises", "Paper:")  # how the paragraphs begin that the page leaves out
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def attacks_page() -> str:
    """The whole page: what all attacks share, the toolchains, and a section for each row."""
    return "\n".join([INTRODUCTION, *_toolchains(), SHORTCUTS, *("\n".join(_section(row)) for row in ATTACKS.values())])


def catalogue() -> str:
    """All that `redhanded list` prints, as JSON."""
    return json.dumps({topic: list(rows()) for topic, rows in CATALOGUE.items()}, indent=1, ensure_ascii=False) + "\n"


def _toolchains() -> Iterator[str]:
    yield from ("| toolchain | runs |", "|---|---|")
    for name, row in TOOLCHAINS.items():
        families = ", ".join(f"`{family}`" for family in row.runs)
        yield f"| `{name}` | {'all of them' if set(row.runs) == set(ATTACKS) else families} |"


def _section(row: AttackKind) -> Iterator[str]:
    """A heading, the formula, a table of the parameters, where the defaults come from, and the sources."""
    spec = row.spec
    defaults = [" ".join(text.split()) for text in _paragraphs(spec) if text.startswith("Defaults:")]
    fields = {name: field for name, field in spec.model_fields.items() if name != "toolchain"}
    yield f"## `{spec.family}`"
    yield f"`redhanded.attacks.{spec.__name__}`, in tables {row.title}: {row.summary}."
    yield ""
    for text in _paragraphs(row.run):
        if text.startswith(_AFTER_FORMULA):
            break
        yield from (text, "")
    yield from ("| parameter | default | range | meaning |", "|---|---|---|---|")
    for name, field in fields.items():
        meaning = f"{field.description}{'; a shortcut' if name in spec.shortcut_names else ''}"
        yield f"| `{name}` | {_default(field)} | {_allowed(field)} | {meaning} |"
    sources = (f"Kind: {row.kind}.", f"Paper: {row.paper}.", f"Reference: {row.reference}.")
    differs = (f"Ours differs: {row.differs}.",) if row.differs else ()
    named = (f"Named `{row.counted_as}` by attribution: no image shows which of the two made it.",)
    yield from ("", *(f"- {text}" for text in (*defaults, *sources, *differs, *named * bool(row.counted_as))), "")


def _paragraphs(documented: Any) -> list[str]:
    return (inspect.getdoc(documented) or "").split("\n\n")


def _default(field: FieldInfo) -> str:
    """Text and formulas in code, numbers and names of Python as they are."""
    code = isinstance(field.default, str) or isinstance(field.default_factory, Rule)
    return f"`{default_text(field)}`" if code else default_text(field)


def _allowed(field: FieldInfo) -> str:
    """The range, from the type and the limits, e.g. `None or whole, >= 2`."""
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in _SIGNS.items()
        if hasattr(limit, name)
    ]
    kinds = get_args(field.annotation) if get_origin(field.annotation) is UnionType else [field.annotation]
    kinds = sorted(kinds, key=lambda kind: kind is not NoneType)  # None first
    return " or ".join(", ".join([*_kind(kind), *limits * (kind is not NoneType)]) for kind in kinds)


def _kind(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [f"`{value}`" for value in get_args(kind)]
    return {NoneType: ["None"], bool: ["True", "False"], int: ["whole"], float: []}[kind]


def verdict_schema() -> str:
    """The JSON schema of a verdict as it is written; its `$id` ends in its version."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:redhanded:verdict:{VERDICT_VERSION}",
    }
    return json.dumps(head | Verdict.model_json_schema(mode="serialization"), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(verdict_schema())
    PAGE.write_text(attacks_page().rstrip() + "\n")
    WRITTEN.write_text(catalogue())
