"""Whatever goes wrong on the command line is one line, an exit code, and never a traceback."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from hydrant.cli.main import app
from hydrant.edge import EdgeClient

HYDRANT = [sys.executable, "-m", "hydrant.cli.main"]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in ("HYDRANT_PATH", "QDRANT_URL", "QDRANT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    """A server that answers every request with one status; `server.status`, and the keys it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.keys.add(self.headers.get("api-key"))
            body = b'{"status": {"error": "said the server"}}'
            self.send_response(self.server.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.keys = set()
        listening.url = f"http://127.0.0.1:{listening.server_address[1]}"
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield listening
        listening.shutdown()


def run(*arguments, **options):
    return CliRunner().invoke(app, [str(each) for each in arguments], **options)


def error_line(done):
    """The one line that the program said; fails where it said more."""
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("warning: "))
    assert line.startswith("error: ")
    return line


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = run("search", "keys", "--url", url)
    assert done.exit_code == 1
    assert f"no answer from a Qdrant server at {url}" in error_line(done)


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_a_key_says_where_it_is_read_from(server, status):
    server.status = status
    done = run("info", "--url", server.url)
    assert done.exit_code == 1
    assert "without a key; set QDRANT_API_KEY" in error_line(done)


def test_the_key_comes_from_the_environment_and_is_never_shown(server):
    server.status = 401
    done = run("info", "--url", server.url, env={"QDRANT_API_KEY": "s3cret"})
    assert "warning: Api key is used with an insecure connection" in done.stderr
    assert "refuses the key in QDRANT_API_KEY" in error_line(done)
    assert "s3cret" in server.keys
    assert "s3cret" not in done.stdout + done.stderr


def test_an_address_that_is_no_qdrant_server_is_asked_about(server):
    server.status = 404
    assert "is it the address of a Qdrant server?" in error_line(run("info", "--url", server.url))


def test_what_a_server_said_is_passed_on(server):
    server.status = 400
    assert "said the server" in error_line(run("info", "--url", server.url))


def test_an_address_that_is_none_is_refused():
    done = run("info", "--url", "localhost:port")
    assert done.exit_code == 1
    assert "'localhost:port'" in error_line(done)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    done = run("info", "--path", tmp_path)
    assert done.exit_code == 1
    assert str(tmp_path) in error_line(done)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_an_unexpected_error_is_a_line_too_and_debug_shows_where(tmp_path, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("something\nnobody thought of")

    monkeypatch.setattr(EdgeClient, "get_collections", broken)
    (tmp_path / "index").mkdir()
    done = run("info", "--path", tmp_path / "index")
    assert done.exit_code == 1
    assert "unexpected ZeroDivisionError: something nobody thought of (hydrant --debug" in error_line(done)
    assert isinstance(run("--debug", "info", "--path", tmp_path / "index").exception, ZeroDivisionError)


def test_an_index_held_by_another_process_names_it(tmp_path):
    with EdgeClient(tmp_path / "index") as client:
        client.get_collections()
        done = subprocess.run(
            [*HYDRANT, "info", "--path", tmp_path / "index"], capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert f"process {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def _ctrl_c_is_heard():
    """A job in the background has SIGINT ignored, and so would every process that its tests start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_keeps_what_is_indexed_and_the_next_run_goes_on(tmp_path):
    index = tmp_path / "index"
    command = [*HYDRANT, "index", "--no-dense", "--path", str(index), "--jsonl", "-", "--json"]
    lines = [json.dumps({"id": f"r{n}", "text": f"Record number {n} of many"}) + "\n" for n in range(4200)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        # More than one window; then it waits for the rest, which does not come.
        process.stdin.writelines(lines)
        process.stdin.flush()
        _wait_for_points(index)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        said = process.stderr.read()
    assert "running the same command again goes on from there" in said
    assert "Traceback" not in said
    done = subprocess.run(command, input="".join(lines), capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["passages"] == 4200
    assert report["unchanged"] > 0
    assert report["added"] + report["unchanged"] == 4200


def _wait_for_points(index):
    """Wait until something was written: the engine's log grows with the first batch."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        segments = [file for file in index.glob("shards/*/segments/**/*") if file.is_file()]
        if any("payload_storage" in file.parts and file.stat().st_blocks for file in segments):
            time.sleep(1)
            return
        time.sleep(0.05)
    pytest.fail("nothing was written")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    records = "".join(json.dumps({"text": f"word {n} " + "filler " * 300}) + "\n" for n in range(60))
    assert (
        run("index", "--jsonl", "-", "--no-dense", "--path", tmp_path / "index", input=records).exit_code == 0
    )
    command = [*HYDRANT, "search", "word", "-n", "60", "--json", "--path", str(tmp_path / "index")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read()
        process.wait(60)
    assert said == b""


def test_on_a_terminal_there_are_a_bar_and_colours(tmp_path):
    (tmp_path / "note.txt").write_text("The valve closes the pipe.")
    shown = _on_terminal("index", str(tmp_path / "note.txt"), "--no-dense", "--path", str(tmp_path / "index"))
    assert "1 passages" in shown
    assert "left" in shown
    found = _on_terminal("search", "valve", "--path", str(tmp_path / "index"))
    assert "\x1b[1;33mvalve" in found


def _on_terminal(*arguments):
    """What a terminal of 100 columns shows, control sequences included."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen([*HYDRANT, *arguments], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            # Linux says so when the last writer is gone.
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(60) == 0
    return shown.decode()
