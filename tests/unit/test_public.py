"""What `import hydrant` gives and costs."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import hydrant

HEAVY = [
    "torch",
    "transformers",
    "sentence_transformers",
    "numpy",
    "qdrant_client",
    "qdrant_edge",
    "rich",
    "typer",
]


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


def test_importing_hydrant_imports_nothing_heavy():
    loaded = python(f"import sys, hydrant; print([name for name in {HEAVY} if name in sys.modules])")
    assert loaded == "[]"


def test_importing_the_collection_imports_no_model_library():
    heavy = ["torch", "transformers", "sentence_transformers", "langchain_core", "llama_index"]
    code = (
        "import sys; from hydrant import Collection, EdgeClient, DenseEncoder, Bm25Encoder, Chunker;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert python(code) == "[]"


def test_importing_hydrant_is_quick():
    took = min(
        float(python("import time; t = time.perf_counter(); import hydrant; print(time.perf_counter() - t)"))
        for _ in range(3)
    )
    assert took < 0.2


def test_every_name_by_star_configures_no_logging_and_prints_nothing():
    code = (
        "import logging; from hydrant import *;"
        "print(Collection.__name__, Rrf().k, logging.getLogger().handlers, logging.getLogger('hydrant').handlers)"
    )
    assert python(code) == "Collection 60 [] []"


@pytest.mark.parametrize("name", hydrant.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(hydrant, name)
    if name != "__version__":
        assert inspect.getdoc(value)
        assert value.__module__.startswith("hydrant.")


def test_dir_lists_exactly_the_public_names():
    assert dir(hydrant) == sorted(hydrant.__all__)
    assert len(set(hydrant.__all__)) == len(hydrant.__all__)


def test_a_name_that_is_not_there_lists_those_that_are():
    with pytest.raises(AttributeError, match=r"'Retreiver'.*'Retriever'"):
        hydrant.Retreiver  # noqa: B018  the access is the test
    with pytest.raises(ImportError):
        from hydrant import Retreiver  # noqa: F401


def modules():
    for info in pkgutil.walk_packages(hydrant.__path__, "hydrant."):
        if "child" not in info.name and not info.name.endswith("__main__"):
            yield info.name


@pytest.mark.parametrize("name", list(modules()))
def test_everything_public_has_a_docstring(name):
    module = importlib.import_module(name)
    missing = [] if module.__doc__ else [name]
    for key, value in vars(module).items():
        if key.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            missing += [] if value.__doc__ else [f"{name}.{key}"]
        if inspect.isclass(value):
            missing += [
                f"{name}.{key}.{attribute}"
                for attribute, member in vars(value).items()
                if not attribute.startswith("_")
                and (inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod))
                and not inspect.getdoc(getattr(value, attribute))
            ]
    assert missing == []


def test_the_version_is_the_distributions():
    from importlib.metadata import version

    assert hydrant.__version__ == version("hydrant-rag")


def test_every_error_is_in_the_drawn_hierarchy():
    from hydrant import errors

    classes = [
        value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)
    ]
    assert len(classes) > 20
    for error in classes:
        assert issubclass(error, errors.HydrantError)
        assert f" {error.__name__}" in errors.__doc__
