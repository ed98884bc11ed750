"""`noiseproof clean`: from suspects or decisions to a cleaned data set, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noiseproof.errors import InputError

if TYPE_CHECKING:
    from noiseproof.doctor.cleaning import Decision
    from noiseproof.doctor.review.review_progress import ReviewProgress


def clean(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="The path of your data; not needed with --undo.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The new file or folder; nothing is overwritten.")] = None,
    issues: Annotated[Path | None, typer.Option(help="issues.csv of `noiseproof diagnose DATA --out DIR`.")] = None,
    review: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="decisions.csv of the review page, once a person; with --issues and no --out: its progress.",
        ),
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Leave the suspects out.")] = False,
    relabel: Annotated[bool, typer.Option("--relabel", help="Give the suspects their likely label.")] = False,
    weight: Annotated[bool, typer.Option("--weight", help="Keep all; suspects get the weight 1 - suspicion.")] = False,
    top: Annotated[int | None, typer.Option(metavar="N", help="Act on the N most suspect samples.")] = None,
    score: Annotated[
        float | None, typer.Option(metavar="S", help="Act on samples with a suspicion of S or more, 0 to 1.")
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Hard links instead of copies of pictures.")] = False,
    also_test: Annotated[bool, typer.Option("--also-test", help="Clean the test part, too.")] = False,
    undo: Annotated[Path | None, typer.Option(metavar="LOG", help="Write the original again, to --out.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Does cleaning pay? Train each way and compare.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Splits that --compare averages over.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a cleaned copy of your data in its own form, with a log that reverses it.

    \b
    Examples:
    noiseproof clean pets.csv --issues suspects/issues.csv --drop --out clean.csv
    noiseproof clean photos --review decisions.csv --out photos-clean
    noiseproof clean --issues diagnosis/issues.csv --review decisions.csv
    noiseproof clean --undo pets-clean.csv.clean-log.json --out pets.csv
    """
    from noiseproof.doctor import cleaning

    if undo is not None:
        if out is None:
            raise InputError("--undo writes the original again; say where with --out FILE")
        typer.echo(f"wrote {cleaning.undo(undo, out)}: the original, byte for byte")
        return
    if issues is not None and review and out is None and not compare:
        found = progress(issues, review)
        typer.echo(json.dumps(found.to_json()) if as_json else str(found))
        return
    if data is None:
        raise InputError("which data? Type: noiseproof clean DATA --issues FILE --drop --out NEW")
    if compare:
        from noiseproof.doctor.cleaning.payoff import compare_ways

        result = compare_ways(data, seeds=seeds, on_progress=lambda text: typer.echo(text, err=True))
        typer.echo(json.dumps(result.to_json()) if as_json else str(result))
        return
    if out is None:
        raise InputError("say where the cleaned data go with --out NEW; your data are never changed in place")
    decisions, notes = _decisions(issues, review or [], _action(drop, relabel, weight), top, score)
    done = cleaning.clean(data, decisions, out, link=link, also_test=also_test)
    if issues is not None and review:
        notes.append(str(progress(issues, review)))
    if as_json:
        content = {"out": str(done.out), "log": str(done.log), "counts": dict(done.counts)}
        typer.echo(json.dumps({**content, "notes": [*notes, *done.notes]}))
        return
    typer.echo("\n".join([str(done), *notes]))


def progress(issues: Path, review: list[Path]) -> ReviewProgress:
    """State of a review: precision so far, corrected rate, wrong labels among the next hundred."""
    from noiseproof.doctor import cleaning
    from noiseproof.doctor.review.review_progress import progress_of

    decisions, _ = cleaning.merge([cleaning.read_decisions(path) for path in review])
    return progress_of(cleaning.read_issues(issues), decisions)


def _action(drop: bool, relabel: bool, weight: bool) -> str | None:
    chosen = [name for name, said in (("drop", drop), ("relabel", relabel), ("weight", weight)) if said]
    if len(chosen) > 1:
        raise InputError(f"one of --drop, --relabel and --weight, got --{' and --'.join(chosen)}")
    return chosen[0] if chosen else None


def _decisions(
    issues: Path | None, review: list[Path], action: str | None, top: int | None, score: float | None
) -> tuple[list[Decision], list[str]]:
    from noiseproof.doctor import cleaning

    if issues is None and not review:
        raise InputError("give --issues FILE with --drop, --relabel or --weight, or --review FILE")
    if issues is not None and not review:
        if action is None:
            raise InputError("what should happen to the suspects? Add --drop, --relabel --score 0.9, or --weight")
        return cleaning.decide(cleaning.read_issues(issues), action, top=top, score=score)
    if action is not None or top is not None or score is not None:
        raise InputError(
            "a review says itself what happens to each sample; leave --drop, --relabel, --top and the like out"
        )
    decisions, conflicts = cleaning.merge([cleaning.read_decisions(path) for path in review])
    notes = []
    if conflicts:
        shown = "\n".join(f"  {one}" for one in conflicts[:10])
        kept = (
            "1 sample is kept as it is" if len(conflicts) == 1 else f"{len(conflicts):,} samples are kept as they are"
        )
        notes.append(f"{kept}, since people decided differently:\n{shown}")
    if not decisions:
        raise InputError("the review holds no decision that stands; nothing to do")
    return decisions, notes
