"""The reference: a page for each room, with every name that `hydrant` exports, and the command line.

The names are asked of the package itself, so none can be missing.
"""

from __future__ import annotations

import html
import importlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from mkdocs.structure.files import File, Files
from rich.text import Text

import hydrant
import hydrant.flow
import hydrant.testing
from hydrant.cli.main import app

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

REFERENCE = "Reference"


@dataclass(frozen=True, slots=True)
class Group:
    """A page of the reference.

    Attributes:
        page: Its file name without the suffix.
        title: Its heading.
        text: What it is about.
        names: What it describes, as dotted names.
    """

    page: str
    title: str
    text: str
    names: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where the page lies in the site."""
        return f"reference/{self.page}.md"

    def markdown(self) -> str:
        """The page."""
        parts = [f"# {self.title}", self.text, *map(_described, self.names)]
        return "\n\n".join(part for part in parts if part) + "\n"


# The pages in their order: page, title, text. A room that is missing here gets a page under its own name.
_STAGES = "They are stages: `run`, `arun` and `>>` are described at [`Stage`][hydrant.Stage]."
_PAGES = (
    ("collection", "Collections", "A collection with its encoders, payload layout and tenants."),
    ("ingest", "Indexing", "Files to passages, passages to points. `Collection.indexer` makes an indexer."),
    ("encode", "Encoders", "Text to vectors. An object is made without loading a model."),
    ("retrieve", "Retrieval", f"The retriever and feedback, and what they are set with. {_STAGES}"),
    ("expand", "Query expansion", f"HyDE and its family, in front of the retriever. {_STAGES}"),
    ("rerank", "Reranking", f"What ranks once more, behind the retriever. {_STAGES}"),
    ("context", "Context", f"From hits to the text that a language model reads. {_STAGES}"),
    ("generate", "Language models", "Prompt to text, for expansion and reranking."),
    ("pipeline", "Stages and pipelines", "What a stage is, and how stages are joined."),
    ("config", "Pipelines in files", "Pipelines from YAML and back."),
    ("types", "Values", "What travels through a search. All of it is immutable."),
    ("edge", "The embedded engine", "Clients of qdrant-client whose collections lie in a folder."),
    ("evaluate", "Evaluation", "Judged sets, metrics, comparisons."),
)
_ABOUT = """Every name that `hydrant` exports, with what its docstring says. They are imported from `hydrant` itself, such as
`from hydrant import Collection`; what is below `hydrant.flow`, `hydrant.testing` and `hydrant.errors` is imported from there. A name is
loaded when it is first used."""
_ABOUT_COMMANDS = """`hydrant COMMAND --help` says the same in a terminal. Exit codes: 0 done, 1 an error or documents that
failed, 2 wrong usage, 130 interrupted."""
# Where a module's name is not its room's.
_ROOMS = {"facade": "collection", "types_context": "types"}
# Members of `Collection` that other rooms ask for, and no user.
_FOR_ROOMS = frozenset({"owner", "condition", "passages", "call", "scores", "remember", "recall", "stored"})
# Bases that are described by themselves, or are Python's.
_UNINTERESTING = frozenset({"object", "ABC", "Generic", "Protocol"})


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the reference into the navigation."""
    pages = ["reference/index.md", *(group.path for group in groups()), "reference/command-line.md"]
    for section in config.nav or []:
        if REFERENCE in section:
            section[REFERENCE] = pages
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Write the pages of the reference."""
    found = groups()
    pages = {group.path: group.markdown() for group in found}
    pages["reference/index.md"] = _index(found)
    pages["reference/command-line.md"] = _command_line()
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def groups() -> list[Group]:
    """The pages, each with its names in the order of the alphabet."""
    by_room: dict[str, list[str]] = {}
    for name in sorted(set(hydrant.__all__) - {"__version__"}, key=str.casefold):
        room = hydrant._HOMES[name].split(".")[1]  # noqa: SLF001  where a name lives is nobody else's business
        by_room.setdefault(_ROOMS.get(room, room), []).append(f"hydrant.{name}")
    if "Indexer" not in hydrant.__all__:
        by_room["ingest"].append("hydrant.ingest.indexer.Indexer")
    flow = by_room.pop("flow", [])
    flow += [name for name in _exports("hydrant.flow") if f"hydrant.{name.rpartition('.')[2]}" not in flow]
    known = [page for page, _, _ in _PAGES]
    pages = (*_PAGES, *((room, room.capitalize(), "") for room in sorted(set(by_room) - set(known))))
    return [
        *(Group(page, title, text, tuple(by_room[page])) for page, title, text in pages if page in by_room),
        Group("flow", "Flows", "", ("hydrant.flow", *flow)),
        Group("errors", "Errors", "", ("hydrant.errors",)),
        Group("testing", "Stand-ins for tests", "", ("hydrant.testing", *_exports("hydrant.testing"))),
    ]


def _exports(module: str) -> list[str]:
    return [f"{module}.{name}" for name in importlib.import_module(module).__all__]


def _described(name: str) -> str:
    """What tells mkdocstrings to describe a name."""
    lines = [f"::: {name}"]
    if name in {"hydrant.flow", "hydrant.testing"}:
        # What they export follows, each by itself.
        lines += [
            "    options:",
            "      members: false",
            "      show_root_heading: false",
            "      show_root_toc_entry: false",
        ]
    elif name == "hydrant.errors":
        lines += ["    options:", "      show_root_heading: false", "      show_root_toc_entry: false"]
    else:
        inherited = list(_inherited(_object(name)))
        if name == "hydrant.Collection":
            inherited = [each for each in inherited if each not in _FOR_ROOMS]
        if inherited:
            own = [each for each in vars(_object(name)) if not each.startswith("_")]
            lines += ["    options:", f"      inherited_members: [{', '.join(inherited)}]"]
            lines += [f"      members: [{', '.join((*own, *inherited))}]"]
    return "\n".join(lines)


def _object(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _inherited(thing: Any) -> Iterator[str]:
    """The public members that a class has of bases which are not described themselves."""
    if not inspect.isclass(thing):
        return
    exported = {getattr(hydrant, name) for name in hydrant.__all__}
    own = set(vars(thing))
    for base in thing.__mro__[1:]:
        if base in exported or base.__name__ in _UNINTERESTING or not base.__module__.startswith("hydrant."):
            continue
        yield from (name for name in vars(base) if not name.startswith("_") and name not in own)


def _index(found: Iterable[Group]) -> str:
    """The list of all names."""
    lines = ["| page | names |", "|---|---|"]
    for group in found:
        names = ", ".join(
            f"[`{name.rpartition('.')[2]}`][{name}]" for name in group.names if not _is_module(name)
        )
        lines.append(f"| [{group.title}]({group.page}.md) | {names} |")
    lines.append("| [The command line](command-line.md) | `hydrant` |")
    return f"# Reference\n\n{_ABOUT}\n\n" + "\n".join(lines) + "\n"


def _is_module(name: str) -> bool:
    return name in {"hydrant.flow", "hydrant.testing", "hydrant.errors"}


# ---- the command line --------------------------------------------------------------------------------------------


def _command_line() -> str:
    """Every command with its arguments and options, as the program knows them."""
    program = typer.main.get_command(app)
    parts = ["# The command line", _ABOUT_COMMANDS]
    for name, command in sorted(program.commands.items()):  # type: ignore[attr-defined]
        parts += [f"## hydrant {name}", _plain(command.help or "", "\n\n"), *_parameters(command)]
    return "\n\n".join(parts) + "\n"


def _parameters(command: Any) -> list[str]:
    rows = [
        f"| `{_spelled(parameter)}` | {_plain(getattr(parameter, 'help', None) or '')} |"
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
    ]
    return ["\n".join(["| argument or option | meaning |", "|---|---|", *rows])] if rows else []


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    return ", ".join((*parameter.opts, *parameter.secondary_opts))


def _plain(text: str, between: str = " ") -> str:
    """Help without the marks of rich, as Markdown; `between` stands between paragraphs."""
    said = html.escape(Text.from_markup(inspect.cleandoc(text)).plain, quote=False)
    paragraphs = (" ".join(part.split()) for part in said.split("\n\n"))
    return between.join(paragraphs).replace("|", "\\|").replace("*", "\\*")
