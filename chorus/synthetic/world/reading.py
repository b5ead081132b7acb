"""Reading hand-written data files: typed access, errors that name the place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from chorus.errors import BadInput, unknown_name

T = TypeVar("T")


@dataclass
class Entry:
    """A mapping of a data file and where it stands; remembers which fields have been read."""

    where: str
    values: Mapping[str, object]
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, where: str, value: object) -> Entry:
        """Wrap a value that has to be a mapping with text keys."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise BadInput(f"{where}: expected named fields, found {value!r}.")
        return cls(where, value)

    def wrong(self, name: str, expected: str) -> BadInput:
        """The error for a field whose value is not what it has to be."""
        return BadInput(
            f"{self.where}, field {name!r}: expected {expected}, found {self.values.get(name)!r}."
        )

    def has(self, name: str) -> bool:
        """Whether the field is given."""
        return name in self.values

    def text(self, name: str, default: str | None = None) -> str:
        """A text field."""
        return self._take(name, default, "a text", lambda value: isinstance(value, str))

    def number(self, name: str, default: float | None = None) -> float:
        """A number field."""
        return float(self._take(name, default, "a number", _is_number))

    def texts(self, name: str, default: list[str] | None = None) -> tuple[str, ...]:
        """A list of texts; one text alone counts as a list of one."""
        value = self._take(
            name,
            default,
            "a list of texts",
            lambda value: (
                isinstance(value, str)
                or (isinstance(value, list) and all(isinstance(item, str) for item in value))
            ),
        )
        return (value,) if isinstance(value, str) else tuple(value)

    def numbers(self, name: str, default: dict[str, float] | None = None) -> dict[str, float]:
        """A mapping of names to numbers."""
        value = self._take(
            name,
            default,
            "names with numbers",
            lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
        )
        return {str(key): float(item) for key, item in value.items()}

    def mapping(self, name: str) -> Mapping[str, object]:
        """A mapping of anything; empty if it is not given."""
        return self._take(name, {}, "named values", lambda value: isinstance(value, dict))

    def triple(self, name: str, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """Three numbers."""
        value = self._take(
            name,
            default,
            "three numbers",
            lambda value: (
                isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))
            ),
        )
        return tuple(map(float, value))

    def parsed(self, name: str, parse: Callable[[object], T]) -> T:
        """A field read by a function that raises BadInput; the place is put before its text."""
        self._seen.add(name)
        if name not in self.values:
            raise BadInput(f"{self.where}: the field {name!r} is missing.")
        try:
            return parse(self.values[name])
        except BadInput as error:
            raise BadInput(f"{self.where}, field {name!r}: {error}") from None

    def optional(self, name: str, parse: Callable[[object], T]) -> T | None:
        """Like `parsed`, None if the field is not given."""
        return self.parsed(name, parse) if self.has(name) else None

    def entry(self, name: str) -> Entry:
        """A nested mapping."""
        return self.parsed(name, lambda value: Entry.of(f"{self.where}, {name}", value))

    def entries(self, name: str) -> dict[str, Entry]:
        """A mapping of names to nested mappings; empty if it is not given."""
        return {
            key: Entry.of(f"{self.where}, {name}, {key}", value)
            for key, value in self.mapping(name).items()
        }

    def rows(self, name: str) -> list[Entry]:
        """A list of nested mappings, at least one; errors call each by its `name` if it has one."""
        value = self._take(
            name, None, "a list of entries", lambda value: isinstance(value, list) and bool(value)
        )
        rows = []
        for number, item in enumerate(value, start=1):
            label = item.get("name", number) if isinstance(item, dict) else number
            rows.append(Entry.of(f"{self.where}, {name} {label!r}", item))
        return rows

    def finish(self) -> None:
        """Complain about fields that nothing has read, which are spelling mistakes."""
        for name in self.values:
            if name not in self._seen:
                raise BadInput(f"{self.where}: {unknown_name('field', name, self._seen)}")

    def _take(
        self, name: str, default: object, expected: str, fits: Callable[[object], bool]
    ) -> object:
        self._seen.add(name)
        if name not in self.values:
            if default is None:
                raise BadInput(f"{self.where}: the field {name!r} is missing; expected {expected}.")
            return default
        if not fits(self.values[name]):
            raise self.wrong(name, expected)
        return self.values[name]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_yaml(path: Path) -> Entry:
    """The top mapping of a YAML file (safe loader); BadInput names the file and line."""
    try:
        value = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name}: is not valid YAML: {error}") from None
    return Entry.of(path.name, value)
