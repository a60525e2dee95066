"""`hydrant make-eval`: a small judged set from a collection's own passages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hydrant.cli.console import busy, note, print_json, printable, stdout
from hydrant.cli.guard import guarded
from hydrant.cli.pipelines import AtOnceOption
from hydrant.cli.place import CollectionOption, PathOption, TenantOption, UrlOption, place_of
from hydrant.errors import HydrantError, TaskError

if TYPE_CHECKING:
    from hydrant import Collection
    from hydrant.evaluate.made_set import MadeSet
    from hydrant.evaluate.make_set import SetMaker

_HELP = """Make judged questions: a language model writes one for each of some passages, and those are kept that a search leads back to their passage.

They compare pipelines quickly, and they are biased: towards the search of the round trip, and towards word search. README.md in the folder says how much. Twenty questions of real users say more.
"""
_EPILOG = """[bold]Example[/]: hydrant make-eval judged --llm '{OpenAIGenerator: {model: gpt-4o-mini}}' --passages 100

[bold]Exit codes[/]: 0 made; 1 an error, or no question was kept; 2 wrong usage.
"""
# How many of the questions are shown, and how much of one, in characters.
_EXAMPLES, _LONGEST_EXAMPLE = 3, 100


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("make-eval", help=_HELP, epilog=_EPILOG)(make_eval)


@guarded()
def make_eval(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the set goes.", show_default=False)],
    *,
    llm: Annotated[
        str,
        typer.Option(
            metavar="YAML|FILE",
            help="What writes the questions: '{OpenAIGenerator: {model: NAME}}', or a file.",
            show_default=False,
        ),
    ],
    passages: Annotated[int, typer.Option(min=1, metavar="N", help="For how many passages to ask.")] = 100,
    top: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Among how many hits the round trip must find the passage."),
    ] = 10,
    documents: Annotated[
        bool,
        typer.Option(
            "--documents", help="Judge files instead of passages, which stay when files are cut anew."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Which passages are drawn.")] = 0,
    at_once: AtOnceOption = 4,
    path: PathOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "docs",
    tenant: TenantOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make the set, and say what it is worth."""
    from hydrant.evaluate.make_set import SetMaker

    if (folder / "queries.jsonl").exists():
        msg = f"{folder} holds a judged set already; choose another folder or remove it"
        raise typer.BadParameter(msg, ctx=ctx)
    generator = _generator(ctx, llm)
    level: Literal["passage", "document"] = "document" if documents else "passage"
    with place_of(ctx, path, url).client() as client:
        from hydrant import Collection

        docs = Collection.open(client, collection)
        checker = docs.retriever(limit=top)
        with busy("loading the models"):
            checker.warm_up()
            generator.warm_up()
        maker = SetMaker(generator, checker, top, seed, at_once, tenant, level=level)
        with busy(f"writing questions for {passages:,} passages"):
            made = _made(maker, docs, passages)
    made.write(folder)
    _show(made, folder, as_json=as_json)


class NothingMade(HydrantError, RuntimeError):
    """A set without a question: nobody used the command wrongly, and yet there is nothing."""


def _made(maker: SetMaker, docs: Collection, passages: int) -> MadeSet:
    try:
        return maker.make(docs, passages)
    except TaskError as error:
        raise NothingMade(str(error)) from error


def _generator(ctx: typer.Context, given: str) -> Any:
    from hydrant.config.build import built
    from hydrant.config.located import parse_yaml, read_yaml
    from hydrant.generate.base import TextGenerator

    file = Path(given)
    inline = given.lstrip().startswith("{")
    if not inline and not file.is_file():
        msg = (
            f"--llm takes a file or YAML such as '{{OpenAIGenerator: {{model: gpt-4o-mini}}}}', got {given!r}"
        )
        raise typer.BadParameter(msg, ctx=ctx)
    made = built(parse_yaml(given, "--llm") if inline else read_yaml(file))
    if not isinstance(made, TextGenerator):
        msg = f"--llm must name a language model, such as OpenAIGenerator or TransformersGenerator, got {given!r}"
        raise typer.BadParameter(msg, ctx=ctx)
    return made


def _show(made: MadeSet, folder: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "questions": [
                    {"text": each.text, "document": each.document, "rank": each.rank}
                    for each in made.questions
                ],
                "passages": made.asked,
                "dropped": made.dropped,
                "refused": [
                    {"reason": each.reason, "document": each.document, "answer": each.answer}
                    for each in made.refused
                ],
                "shared_words": made.shared_words,
                "usage": {
                    "calls": made.usage.calls,
                    "prompt_tokens": made.usage.prompt_tokens,
                    "completion_tokens": made.usage.completion_tokens,
                },
            }
        )
        return
    out = stdout()
    out.print(f"{len(made.questions):,} questions for {made.asked:,} passages in {folder}, such as")
    for each in made.questions[:_EXAMPLES]:
        out.print(f"  {_shortened(each.text)}")
    for reason, count in made.dropped.items():
        out.print(f"dropped {count:,}: {printable(reason)}{_example(made, reason)}", soft_wrap=True)
    if 2 * len(made.questions) < made.asked:
        note(
            "less than half of the passages have a question: the model may be too weak for this; "
            f"{folder / 'dropped.jsonl'} has what it wrote"
        )
    note(
        f"{made.shared_words:.0%} of a question's words (median) stand in its passage, so word search looks better here than "
        f"it is; read the questions, and {folder / 'README.md'} for what the set cannot say"
    )


def _example(made: MadeSet, reason: str) -> str:
    answers = (each.answer for each in made.refused if each.reason == reason and each.answer.strip())
    answer = next(answers, None)
    return "" if answer is None else f", such as {_shortened(answer)!r}"


def _shortened(text: str) -> str:
    line = " ".join(printable(text).split())
    return line if len(line) <= _LONGEST_EXAMPLE else f"{line[: _LONGEST_EXAMPLE - 1]}…"
