"""Folders of pictures or texts: copies or links in a new one, relabelled under their new class, dropped apart."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from noiseproof.doctor.cleaning.forms.base import Change, Job, Move
from noiseproof.errors import InputError
from noiseproof.storage import files

__all__ = ["accepts", "removed_folder", "transfer", "write"]


def accepts(path: Path) -> bool:
    """Test for a folder."""
    return path.is_dir()


def removed_folder(out: Path) -> Path:
    """The folder beside a cleaned one that holds what was dropped from it."""
    return out.with_name(f"{out.name}.removed")


def write(job: Job) -> list[Move]:
    """Write the folder: every file of the source, the test part included, at its old place but for the changes.

    Raises:
        InputError: weights, which a folder has no place for; or a label that does not stand in the file's path.
    """
    if job.weighted:
        raise InputError(f"{job.source}: a folder of pictures has no place for weights; use --drop or --relabel")
    assert job.split.origin is not None
    assert job.split.origin.paths is not None
    place = {position: job.source / job.split.origin.paths[position] for position in job.changes}
    changes = {place[position].resolve(): change for position, change in job.changes.items()}
    given = {place[position].resolve(): job.split.classes[int(job.split.given[position])] for position in job.changes}
    taken = {path.relative_to(job.source).as_posix() for path in _all_files(job.source)}
    moves = []
    for path in _all_files(job.source):
        old = path.relative_to(job.source).as_posix()
        change = changes.get(path.resolve(), Change())
        new: str | None = None if change.drop else old
        if change.label is not None:
            new = _free(_renamed(old, given[path.resolve()], change.label, job.source), taken)
            taken.add(new)
        moves.append(Move(old, new))
    files.make_folder(job.out)
    for move in moves:
        target = removed_folder(job.out) / move.old if move.new is None else job.out / move.new
        transfer(job.source / move.old, target, link=job.link)
    return moves


def transfer(source: Path, target: Path, *, link: bool) -> None:
    """Copy a file with its times, or give it a second name where that is asked for and possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        try:
            os.link(source, target)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copy2(source, target)


def _all_files(folder: Path) -> list[Path]:
    """Every file below, also behind links, but for links that lead back."""
    found = []
    for home, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(home) + os.sep
        folders[:] = [name for name in folders if not here.startswith(os.path.realpath(f"{home}/{name}") + os.sep)]
        found += [Path(home, name) for name in names]
    return sorted(path for path in found if path.is_file())


def _renamed(name: str, given: str, label: str, source: Path) -> str:
    """The path with the new class in place of the given one: of the folder nearest to the file, else of its name."""
    if "/" in label or label in ("", ".", ".."):
        raise InputError(f"{label!r} cannot be the name of a folder")
    parts = list(PurePosixPath(name).parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == given:
            return "/".join([*parts[:place], label, *parts[place + 1 :]])
    if parts[-1].startswith(given):
        return "/".join([*parts[:-1], label + parts[-1][len(given) :]])
    raise InputError(f"{source / name}: its label {given!r} is neither a folder above it nor in its name")


def _free(name: str, taken: set[str]) -> str:
    """The name, or the first `NAME-2`, `NAME-3`, ... that no other file has."""
    path, number, found = PurePosixPath(name), 2, name
    while found in taken:
        found = str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
        number += 1
    return found
