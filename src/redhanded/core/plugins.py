"""A table of named rows: ours, and those that installed packages add by entry points."""

import warnings
from collections.abc import Callable, Iterator, MutableMapping
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

from redhanded.errors import one_line

Row = TypeVar("Row")
_entry_points = cache(entry_points)  # all groups are in the same files


class PluginWarning(UserWarning):
    """An installed package offers a row that cannot be used, and the row is left out."""


class Table(MutableMapping[str, Row]):
    """Rows by name: those that are given, in their order, then those of other packages' entry points, by name.

    The entry points of the group are read at the first use and not before, so that a package may import this one
    whatever was imported first. A point is left out, with a PluginWarning of one line, that cannot be loaded, that is
    no row of type `row`, whose name is not the one that its row has by `name_of`, or whose name is taken.
    """

    def __init__(self, group: str, row: type[Row], name_of: Callable[[Row], str], rows: dict[str, Row]) -> None:
        self._group, self._type, self._name_of, self._ours = group, row, name_of, rows
        self._complete = False

    @property
    def _rows(self) -> dict[str, Row]:
        if not self._complete:
            self._complete = True  # first, because what is loaded may look into the table
            for point in sorted(_entry_points().select(group=self._group), key=lambda point: point.name):
                try:
                    if point.name in self._ours:
                        raise ValueError("expected a name of its own, found one that is taken")
                    row = point.load()
                    if not isinstance(row, self._type):
                        raise TypeError(f"expected a row of the type {self._type.__name__}, found {type(row).__name__}")
                    if self._name_of(row) != point.name:
                        raise ValueError(f"expected an entry point of its row's name, {self._name_of(row)!r}")
                    self._ours[point.name] = row
                except Exception as error:  # another package's import may raise anything
                    package = point.dist.name if point.dist else "an unknown package"
                    reason = str(error) or type(error).__name__
                    message = f"{self._group}: left out {point.name!r} of {package} ({point.value}): {reason}"
                    warnings.warn(one_line(message), PluginWarning, stacklevel=4)
        return self._ours

    def __getitem__(self, name: str) -> Row:
        return self._rows[name]

    def __setitem__(self, name: str, row: Row) -> None:
        self._rows[name] = row

    def __delitem__(self, name: str) -> None:
        del self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
