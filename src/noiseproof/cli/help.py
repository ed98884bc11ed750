"""The help of a command: its options in groups."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["GroupedCommand", "group_options"]


class GroupedCommand(TyperCommand):
    """A command whose help shows each group of options (`rich_help_panel`) below a heading of its own."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options group by group."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            line = parameter.get_help_record(ctx)
            if line is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(line)
        for heading, lines in groups.items():
            if lines:
                with formatter.section(heading):
                    formatter.write_dl(lines)


def group_options(app: typer.Typer) -> None:
    """Let every command of the app, and of the apps in it, show its options in groups."""
    for command in app.registered_commands:
        command.cls = GroupedCommand
    for group in app.registered_groups:
        assert group.typer_instance is not None
        group_options(group.typer_instance)
