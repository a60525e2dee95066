"""The distribution: what it imports, what it weighs, how it is laid out, and that its wheel works alone."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices.query.query_transform.base import BaseQueryTransform
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.tools.tool_spec.base import BaseToolSpec

import hydrant
import llama_index.postprocessor.hydrant
import llama_index.retrievers.hydrant
import llama_index.tools.hydrant
from hydrant import TextGenerator

PROJECT = Path(__file__).resolve().parents[1]
ROOT = PROJECT.parents[1]
CODE = PROJECT / "llama_index"
PACKAGES = (llama_index.retrievers.hydrant, llama_index.postprocessor.hydrant, llama_index.tools.hydrant)


def python(code, executable=sys.executable):
    done = subprocess.run(
        [executable, "-c", code], capture_output=True, text=True, timeout=300, check=False, cwd=PROJECT.parent
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imports(file):
    """What a module imports from elsewhere: pairs of a module and a name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


def test_only_names_that_hydrant_exports_are_imported():
    files = list(CODE.rglob("*.py"))
    assert len(files) > 10
    for file in files:
        for module, name in imports(file):
            if module == "hydrant":
                assert name in hydrant.__all__, f"{file.name} imports {name}"
            elif module.split(".")[0] == "hydrant":
                assert module == "hydrant.errors", f"{file.name} imports {module}"


def dependencies(project):
    content = tomllib.loads(project.joinpath("pyproject.toml").read_text(encoding="utf-8"))
    return content["project"]["dependencies"]


def test_nothing_but_declared_dependencies_is_imported():
    allowed = {"__future__", "hydrant", "llama_index", "pydantic_core", "qdrant_client"} | set(
        sys.stdlib_module_names
    )
    found = {module.split(".")[0] for file in CODE.rglob("*.py") for module, _ in imports(file)}
    assert found <= allowed
    # qdrant_client is only named: its models are what a filter may be, and hydrant requires it.
    assert any(requirement.startswith("qdrant-client") for requirement in dependencies(ROOT))
    assert any(requirement.startswith("pydantic-core") for requirement in dependencies(PROJECT))


def test_nothing_stands_above_our_packages_in_the_namespaces():
    above = [CODE / "__init__.py", *(kind / "__init__.py" for kind in CODE.iterdir() if kind.is_dir())]
    assert len(above) == 4
    assert not any(file.exists() for file in above)
    for package in PACKAGES:
        assert Path(package.__file__).parent.joinpath("py.typed").exists()


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("HydrantRetriever", BaseRetriever),
        ("HydrantHyDERetriever", BaseRetriever),
        ("HydrantHyDE", BaseQueryTransform),
        ("HydrantRerank", BaseNodePostprocessor),
        ("HydrantContextPacker", BaseNodePostprocessor),
        ("HydrantToolSpec", BaseToolSpec),
        ("HydrantSearchEvent", BaseEvent),
        ("LlamaIndexGenerator", TextGenerator),
    ],
)
def test_each_class_is_what_llama_index_takes_and_says_its_name(name, base):
    (found,) = (getattr(package, name) for package in PACKAGES if hasattr(package, name))
    assert base.__name__ in [each.__name__ for each in found.__mro__]
    assert not inspect.isabstract(found)
    if hasattr(base, "class_name") or issubclass(found, BaseRetriever | BaseQueryTransform):
        assert found.class_name() == name


def test_async_is_our_own_and_not_a_default_that_blocks():
    for package in PACKAGES:
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isclass(value) and issubclass(value, BaseRetriever):
                assert value._aretrieve is not BaseRetriever._aretrieve
            if inspect.isclass(value) and issubclass(value, BaseNodePostprocessor):
                assert value._apostprocess_nodes is not BaseNodePostprocessor._apostprocess_nodes


def test_everything_public_has_a_docstring():
    for package in PACKAGES:
        assert package.__doc__
        for name in package.__all__:
            value = getattr(package, name)
            assert inspect.getdoc(value), name
            for key, member in vars(value).items() if inspect.isclass(value) else ():
                if not key.startswith("_") and (
                    callable(member) or isinstance(member, property | classmethod)
                ):
                    assert inspect.getdoc(getattr(value, key)), f"{name}.{key}"


def test_the_metadata_of_llama_hub_name_classes_that_exist():
    hub = tomllib.loads(PROJECT.joinpath("pyproject.toml").read_text(encoding="utf-8"))["tool"]["llamahub"]
    assert hub["import_path"] == "llama_index.retrievers.hydrant"
    assert hub["contains_example"]
    assert "```python" in PROJECT.joinpath("README.md").read_text(encoding="utf-8")
    for name in hub["class_authors"]:
        assert name in llama_index.retrievers.hydrant.__all__


def test_importing_it_costs_little_beyond_llama_index():
    code = (
        "import time, llama_index.core; begun = time.process_time();"
        "import llama_index.retrievers.hydrant, llama_index.postprocessor.hydrant, llama_index.tools.hydrant;"
        "import sys, json; heavy = ['qdrant_client', 'torch', 'transformers', 'sentence_transformers', 'qdrant_edge'];"
        "print(json.dumps([time.process_time() - begun, [name for name in heavy if name in sys.modules]]))"
    )
    # Seconds of the processor: those of the clock are mostly other processes' on a busy machine.
    seconds, heavy = json.loads(python(code))
    assert heavy == []
    assert seconds < 1


def test_importing_it_configures_no_logging_and_prints_nothing():
    code = (
        "import logging; from llama_index.retrievers.hydrant import *; from llama_index.postprocessor.hydrant import *;"
        "from llama_index.tools.hydrant import *; print(logging.getLogger('llama_index.retrievers.hydrant').handlers)"
    )
    assert python(code) == "[]"


@pytest.mark.skipif(
    os.environ.get("HYDRANT_LONG") != "1", reason="HYDRANT_LONG=1 builds wheels and installs them"
)
@pytest.mark.timeout(3600)
def test_the_wheel_installs_alone_and_works():
    # On the disk: an environment with torch is too large for one of memory.
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/tmp")) as folder:
        installs_alone(Path(folder))


def installs_alone(folder):
    wheels = folder / "wheels"
    for project in (ROOT, PROJECT):
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(wheels), str(project)]
        subprocess.run(build, check=True, capture_output=True)
    (wheel,) = wheels.glob("llama_index_retrievers_hydrant-*.whl")
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    executable = str(environment / "bin" / "python")
    install = [executable, "-m", "pip", "install", "--quiet", "--find-links", str(wheels)]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*install, *constraints, str(wheel)], check=True, capture_output=True)
    code = (
        "import time, llama_index.core; begun = time.process_time();"
        "from llama_index.retrievers.hydrant import HydrantIndexer, HydrantRetriever;"
        "import llama_index.postprocessor.hydrant, llama_index.tools.hydrant;"
        "took = time.process_time() - begun;"
        "from llama_index.core.schema import TextNode; from hydrant import Bm25Encoder, EdgeClient;"
        "client = EdgeClient(':memory:');"
        "indexer = HydrantIndexer.create(client, 'docs', sparse=Bm25Encoder());"
        "indexer.add([TextNode(text='keys are rotated'), TextNode(text='the sea')]);"
        "print(HydrantRetriever(indexer.collection.retriever()).retrieve('keys')[0].text, took < 1);"
        "client.close()"
    )
    assert python(code, executable) == "keys are rotated True"
