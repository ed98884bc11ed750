"""Help texts: whole sentences, and examples that the command line would accept."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
import typer
import typer.main

from noiseproof.cli.app import app


def commands(command: typer.main.click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words
        return
    for name, one in inner.items():
        yield from commands(one, (*words, name))


ROOT_COMMAND = typer.main.get_command(app)
COMMANDS = list(commands(ROOT_COMMAND))
GROUPS = [(), *sorted({words[:-1] for words in COMMANDS if len(words) > 1})]


def context(words: tuple[str, ...]) -> typer.Context:
    """The context of a command, as `-h` has it."""
    found = typer.Context(ROOT_COMMAND, info_name="noiseproof")
    for word in words:
        found = typer.Context(found.command.commands[word], info_name=word, parent=found)
    return found


def shown(words: tuple[str, ...]) -> str:
    found = context(words)
    return found.command.get_help(found)


def examples(words: tuple[str, ...]) -> list[str]:
    return [line.strip() for line in shown(words).splitlines() if line.strip().startswith("noiseproof ")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_has_two_examples_of_it(words):
    found = examples(words)
    assert len(found) >= 2
    assert all(tuple(shlex.split(line)[1 : len(words) + 1]) == words for line in found)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_command_line_accepts_the_examples_of_a_help(words):
    for line in examples(words):
        command = context(words).command
        command.make_context(words[-1], shlex.split(line)[len(words) + 1 :])


@pytest.mark.parametrize("words", GROUPS, ids=lambda words: " ".join(words) or "noiseproof")
def test_the_help_of_a_group_has_two_examples_that_are_accepted(words):
    found = examples(words)
    assert len(found) >= 2
    for line in found:
        told = shlex.split(line)[1:]
        command = max((each for each in COMMANDS if tuple(told[: len(each)]) == each), key=len)
        assert command[: len(words)] == words
        context(command).command.make_context(command[-1], told[len(command) :])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_help_begins_with_a_whole_sentence(words):
    described = context(words).command.help or ""
    assert described[0].isupper()
    assert described.partition("\n\n")[0].rstrip().endswith(".")


@pytest.mark.parametrize("words", GROUPS, ids=lambda words: " ".join(words) or "noiseproof")
def test_the_list_of_commands_cuts_no_sentence(words):
    listed = shown(words).partition("Commands:")[2].strip().splitlines()
    assert listed
    assert all(line.rstrip().endswith(".") and not line.rstrip().endswith("...") for line in listed)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_of_a_help_is_explained(words):
    assert [one.name for one in context(words).command.params if not getattr(one, "help", "")] == []
