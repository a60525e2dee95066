"""What the distribution is: names, documentation, what it imports, what importing it costs, how it is packed."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest

import hydrant
import langchain_hydrant

PACKAGE = Path(langchain_hydrant.__file__).parent
DISTRIBUTION = PACKAGE.parent
ROOT = DISTRIBUTION.parents[1]
MODULES = sorted(PACKAGE.glob("*.py"))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.stem)
def test_only_public_names_of_hydrant_are_imported(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.partition(".")[0] == "hydrant"]
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "hydrant":
            home = importlib.import_module(node.module)
            assert node.module in {"hydrant", "hydrant.errors"}
            known = hydrant.__all__ if home is hydrant else vars(home)
            assert [alias.name for alias in node.names if alias.name not in known] == []


@pytest.mark.parametrize("name", langchain_hydrant.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(langchain_hydrant, name)
    if name != "__version__":
        assert inspect.getdoc(value)
        assert value.__module__.startswith("langchain_hydrant.")


def test_names_that_are_not_there_list_those_that_are():
    assert dir(langchain_hydrant) == sorted(langchain_hydrant.__all__)
    with pytest.raises(AttributeError, match=r"'HydrantRetreiver'.*'HydrantRetriever'"):
        langchain_hydrant.HydrantRetreiver  # noqa: B018  the access is the test


@pytest.mark.parametrize("name", [info.name for info in pkgutil.iter_modules([str(PACKAGE)])])
def test_everything_public_has_a_docstring(name):
    module = importlib.import_module(f"langchain_hydrant.{name}")
    missing = [] if module.__doc__ else [name]
    for key, value in vars(module).items():
        # pydantic leaves the parametrized base of a generic class behind, as "Base[...]".
        if key.startswith("_") or "[" in key or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            missing += [] if value.__doc__ else [key]
        if inspect.isclass(value):
            missing += [
                f"{key}.{attribute}"
                for attribute, member in vars(value).items()
                if not attribute.startswith("_")
                and (inspect.isfunction(member) or isinstance(member, property | classmethod))
                and not inspect.getdoc(getattr(value, attribute))
            ]
    assert missing == []


def test_the_version_is_the_distributions():
    assert langchain_hydrant.__version__ == version("langchain-hydrant")
    assert (PACKAGE / "py.typed").is_file()


def test_it_needs_little():
    needed = {re.split(r"[<>=;]", requirement)[0] for requirement in requires("langchain-hydrant")}
    assert needed == {"hydrant-rag", "langchain-core", "pydantic", "typing-extensions"}


def test_importing_costs_less_than_a_second_beyond_the_framework():
    # Processor time: what else the machine does is not the import's fault.
    code = """if True:
        import time
        import langchain_core.callbacks, langchain_core.documents, langchain_core.embeddings
        import langchain_core.language_models, langchain_core.retrievers, langchain_core.runnables.config
        import sys
        began = time.process_time()
        import langchain_hydrant
        empty = time.process_time() - began
        from langchain_hydrant import HydrantReranker, HydrantRetriever, HydeExpander, ChatModelGenerator
        print(empty, time.process_time() - began)
        heavy = ("torch", "transformers", "sentence_transformers", "qdrant_client", "qdrant_edge")
        print([name for name in heavy if name in sys.modules])
    """
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    ).stdout.splitlines()
    empty, parts = map(float, said[0].split())
    assert empty < 0.2
    assert parts < 1
    assert said[1] == "[]"


def test_nothing_is_printed_and_no_logging_is_configured():
    for file in MODULES:
        names = {node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)}
        assert not names & {"print", "breakpoint"}
        assert "basicConfig" not in file.read_text()


@pytest.mark.skipif(
    os.environ.get("HYDRANT_LONG") != "1", reason="takes minutes and a package index: HYDRANT_LONG=1"
)
@pytest.mark.timeout(3600)
def test_the_wheels_install_alone_and_work(tmp_path):
    wheels = tmp_path / "wheels"
    for project in (ROOT, DISTRIBUTION):
        subprocess.run(
            [sys.executable, "-m", "build", "--outdir", str(wheels), str(project)], check=True, timeout=600
        )
    (wheel,) = wheels.glob("langchain_hydrant-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {f"langchain_hydrant/{file.name}" for file in MODULES} | {"langchain_hydrant/py.typed"} <= packed
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run(
        [python, "-m", "pip", "install", "-q", *constraints, "--find-links", str(wheels), str(wheel)],
        check=True,
        timeout=3000,
    )
    code = """if True:
        import importlib.util
        from hydrant import Bm25Encoder, Collection, EdgeClient
        from hydrant.testing import HashEncoder
        from langchain_core.documents import Document
        from langchain_hydrant import HydrantIndex
        for name in ("langchain", "langchain_classic", "langchain_qdrant", "llama_index", "fastembed"):
            assert importlib.util.find_spec(name) is None, name
        with EdgeClient(":memory:") as client:
            docs = Collection.create(client, "docs", dense=HashEncoder(), sparse=Bm25Encoder())
            index = HydrantIndex(collection=docs)
            index.upsert([Document("Keys are rotated.", id="1"), Document("Backups are written.", id="2")])
            print(index.invoke("keys", k=1)[0].id)
    """
    said = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
    )
    assert said.stdout == "1\n", said.stderr
