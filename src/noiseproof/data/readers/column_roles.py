"""Roles of a table's columns: what each column is for."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Roles"]


@dataclass
class Roles:
    """Columns of a table by role."""

    label: str | None = None
    clean: str | None = None
    split: str | None = None
    id: str | None = None
    path: str | None = None
    text: str | None = None
    annotator: str | None = None
    item: str | None = None
    votes: list[str] = field(default_factory=list)
    soft: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)

    def taken(self) -> set[str]:
        """Columns that have a role already."""
        single = (self.label, self.clean, self.split, self.id, self.path, self.text, self.annotator)
        named = {name for name in single if name is not None}
        return named | set(self.votes) | set(self.soft) | set(self.ignored)
