"""`hydrant --help`: quick, and worth reading."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hydrant
from hydrant.cli.main import app

COMMANDS = ("index", "search", "info", "demo")
HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "qdrant_client",
    "qdrant_edge",
    "numpy",
    "pydantic",
)


def _cpu_seconds_of_help() -> float:
    """Processor time, which other programs on the machine do not lengthen as they do the time on the wall."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "hydrant.cli.main", "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_in_well_under_a_second():
    assert min(_cpu_seconds_of_help() for _ in range(3)) < 1.0


def test_help_imports_no_model_library_and_no_client():
    code = f"import sys, hydrant.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_an_example_and_its_exit_codes(command):
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert f"Example: hydrant {command}" in done.stdout
    assert "Exit codes: 0" in done.stdout


def test_the_main_help_lists_every_command_and_the_environment():
    done = CliRunner().invoke(app, ["--help"])
    assert all(f" {command} " in done.stdout for command in COMMANDS)
    assert all(name in done.stdout for name in ("HYDRANT_PATH", "QDRANT_URL", "QDRANT_API_KEY"))


def test_no_command_takes_the_key_as_an_option():
    for command in COMMANDS:
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
        assert "key" not in {word.strip("-") for word in text.split() if word.startswith("--")}


def test_version_is_printed():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"hydrant {hydrant.__version__}\n"


def test_an_unknown_command_is_a_usage_error_with_a_suggestion():
    done = CliRunner().invoke(app, ["serch", "keys"])
    assert done.exit_code == 2
    assert "search" in done.stderr


def test_the_installed_program_is_this_one():
    program = Path(sys.executable).parent / "hydrant"
    if not program.exists():
        pytest.skip("hydrant is not installed beside this Python")
    done = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"hydrant {hydrant.__version__}\n"
