"""Expansions that are kept: bounded, by last use, safe between threads and processes, never in the way."""

from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import pytest

from hydrant import DiskCache, Generation, Hyde, MemoryCache, Query, SearchState, TextGenerator
from hydrant.errors import ConfigurationError, GenerationError, StorageError
from hydrant.flow import run
from hydrant.generate.function import CallableGenerator
from hydrant.testing import EmptyGenerator, FailingGenerator, ScriptedGenerator


@pytest.fixture(params=["memory", "disk"])
def make(request, tmp_path):
    made = []

    def make(size):
        cache = (
            MemoryCache(size) if request.param == "memory" else DiskCache(tmp_path / "sub" / "cache.db", size)
        )
        made.append(cache)
        return cache

    yield make
    for cache in made:
        cache.close()


def test_what_was_put_in_comes_out(make):
    cache = make(10)
    assert cache.get("key") is None
    cache.put("key", ("one", "zwei \U0001f511", "\ud800"))
    assert cache.get("key") == ("one", "zwei \U0001f511", "\ud800")
    cache.put("key", ("other",))
    assert cache.get("key") == ("other",)
    assert len(cache) == 1


def test_what_was_not_used_for_the_longest_time_makes_room(make):
    cache = make(3)
    for key in "abc":
        cache.put(key, (key,))
    assert cache.get("a") == ("a",)
    cache.put("d", ("d",))
    assert [cache.get(key) for key in "abcd"] == [("a",), None, ("c",), ("d",)]
    assert len(cache) == 3


def test_many_threads_share_a_cache(make):
    cache = make(50)
    wrong = []

    def work(thread):
        for turn in range(60):
            key = f"{(thread * 7 + turn) % 80}"
            cache.put(key, (key, key))
            if cache.get(key) not in {(key, key), None}:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache) <= 50


def test_processes_share_a_file_and_keep_it_bounded(tmp_path):
    file = tmp_path / "cache.db"
    code = (
        "import sys; from hydrant import DiskCache\n"
        "cache = DiskCache(sys.argv[1], 40)\n"
        "for turn in range(150):\n"
        "    key = str(turn % 60)\n"
        "    cache.put(key, (key, sys.argv[2]))\n"
        "    assert (cache.get(key) or (key,))[0] == key\n"
        "cache.close()\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(file), str(number)], stderr=subprocess.PIPE)
        for number in range(3)
    ]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert (child.returncode, errors.decode()) == (0, "")
    cache = DiskCache(file, 40)
    assert len(cache) == 40
    assert cache.get("59")[0] == "59"
    cache.close()


def test_a_cache_on_disk_outlives_its_object_and_can_be_pickled(tmp_path):
    cache = DiskCache(tmp_path / "cache.db")
    cache.put("key", ("text",))
    cache.close()
    again = pickle.loads(pickle.dumps(cache))
    assert again.get("key") == ("text",)
    again.close()


def test_a_fork_opens_the_file_for_itself(tmp_path, monkeypatch):
    cache = DiskCache(tmp_path / "cache.db")
    cache.put("key", ("text",))
    mine = cache._connection
    monkeypatch.setattr("hydrant.generate.cache.os.getpid", lambda: -1)
    assert cache.get("key") == ("text",)
    assert cache._connection is not mine
    cache.close()
    mine.close()


def test_an_entry_that_is_no_list_of_texts_is_none(tmp_path):
    cache = DiskCache(tmp_path / "cache.db")
    cache.put("key", ("text",))
    cache._connection.execute("UPDATE expansions SET texts = '[1, 2]'")
    assert cache.get("key") is None
    cache.close()


def test_a_file_that_is_no_cache_is_named_and_left_alone(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("These are my notes. " * 100)
    with pytest.raises(StorageError, match=r"notes\.txt.* cannot be used: .*not a database; remove it"):
        DiskCache(file).get("key")
    assert file.read_text().startswith("These are my notes.")


@pytest.mark.parametrize("size", [0, -1, True, 1.5])
def test_a_size_that_holds_nothing_is_refused(size):
    with pytest.raises(ConfigurationError, match="size must be a whole number of at least 1"):
        MemoryCache(size)
    with pytest.raises(ConfigurationError, match="size must be a whole number of at least 1"):
        DiskCache("cache.db", size)


# ---- in a stage ------------------------------------------------------------------------------------------------------


def expanded(stage, text="why is the sky blue?"):
    return run(stage.flow(SearchState(Query(text))))


def texts(state):
    return state.query.expansions[0].texts


def test_the_same_query_asks_the_model_once(tmp_path):
    for cache in (MemoryCache(), DiskCache(tmp_path / "cache.db")):
        llm = ScriptedGenerator(["Light is scattered.", "Blue is short."])
        stage = Hyde(llm, hypotheses=2, cache=cache)
        first, again = expanded(stage), expanded(stage)
        assert texts(first) == texts(again) == ("Light is scattered.", "Blue is short.")
        assert [state.query.expansions[0].cached for state in (first, again)] == [False, True]
        assert again.query.expansions[0].usage.calls == 0
        assert len(llm.requests) == 1
        cache.close()


@pytest.mark.parametrize(
    "change",
    [
        {"hypotheses": 3},
        {"temperature": 0.3},
        {"max_tokens": 99},
        {"seed": 1},
        {"prompt": "fiqa"},
        {"language": None},
        {"llm": ScriptedGenerator("Another model.")},
    ],
)
def test_another_setting_model_or_query_is_another_entry(change):
    cache = MemoryCache()
    llm = ScriptedGenerator("Light is scattered.")
    settings = {"llm": llm, "hypotheses": 2, "enough": 1, "cache": cache}
    expanded(Hyde(**settings))
    assert not expanded(Hyde(**settings | change)).query.expansions[0].cached
    assert not expanded(Hyde(**settings), "why is the sea blue?").query.expansions[0].cached
    assert expanded(Hyde(**settings)).query.expansions[0].cached
    # These decide nothing about the texts.
    assert expanded(Hyde(**settings | {"query_weight": 2, "mode": "max"})).query.expansions[0].cached


def test_functions_without_a_name_share_no_entries_and_stay_off_the_disk(tmp_path):
    cache = MemoryCache()
    one = Hyde(CallableGenerator(lambda _: "The one."), hypotheses=1, cache=cache)
    other = Hyde(CallableGenerator(lambda _: "The other."), hypotheses=1, cache=cache)
    assert (texts(expanded(one)), texts(expanded(other))) == (("The one.",), ("The other.",))
    assert expanded(one).query.expansions[0].cached
    disk = DiskCache(tmp_path / "cache.db")
    expanded(Hyde(lambda _: "The one.", hypotheses=1, cache=disk))
    assert len(disk) == 0
    disk.close()


def test_a_named_function_is_kept_on_disk_by_its_name(tmp_path):
    path = str(tmp_path / "cache.db")
    for _ in range(2):
        stage = Hyde(CallableGenerator(lambda _: "The one.", model="one"), hypotheses=1, cache=path)
        state = expanded(stage)
        stage.close()
    assert state.query.expansions[0].cached


def test_too_few_hypotheses_are_used_but_not_kept():
    cache = MemoryCache()
    llm = FailingGenerator(GenerationError("HTTP 500"), every=2, answer="Light.")
    state = expanded(Hyde(llm, hypotheses=2, cache=cache))
    assert texts(state) == ("Light. (1)",)
    assert "1 of the 2 texts that suffice" in state.degraded[0].reason
    assert len(cache) == 0


def test_a_model_that_always_says_the_same_is_asked_once_and_has_said_enough():
    llm = ScriptedGenerator("Light.")
    stage = Hyde(llm, hypotheses=8)
    first, again = expanded(stage), expanded(stage)
    assert texts(first) == texts(again) == ("Light.",)
    assert first.degraded == ()
    assert first.query.expansions[0].dropped == ("a duplicate",) * 7
    assert len(llm.requests) == 1


def test_what_sufficed_for_fewer_is_not_taken_for_more():
    cache, llm = MemoryCache(), ScriptedGenerator(["Light.", "Blue."])
    expanded(Hyde(llm, hypotheses=4, enough=1, cache=cache))
    assert not expanded(Hyde(llm, hypotheses=4, enough=4, cache=cache)).query.expansions[0].cached


@dataclass
class Changeable(TextGenerator):
    """A generator without a hash, as dataclasses are."""

    asked: int = 0

    def complete(self, request):
        self.asked += 1
        return Generation(("Light is scattered.",))

    def __call__(self, prompt):
        return self.complete(prompt).texts[0]


def test_a_model_that_nothing_tells_from_another_is_asked_every_time():
    for wrap in (lambda llm: llm, CallableGenerator):
        llm = Changeable()
        stage = Hyde(wrap(llm), hypotheses=1)
        assert texts(expanded(stage)) == texts(expanded(stage)) == ("Light is scattered.",)
        assert llm.asked == 2


def test_reading_does_not_wait_for_another_process_that_writes(tmp_path):
    cache = DiskCache(tmp_path / "cache.db")
    cache.put("key", ("text",))
    other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.perf_counter()
    assert cache.get("key") == ("text",)
    assert time.perf_counter() - began < 0.5
    other.execute("ROLLBACK")
    other.close()
    cache.put("key", ("another",))
    assert cache.get("key") == ("another",)
    cache.close()


def test_a_cache_that_is_broken_costs_nothing_but_the_calls(tmp_path):
    (tmp_path / "cache.db").write_text("no database " * 100)
    llm = ScriptedGenerator("Light is scattered.")
    stage = Hyde(llm, hypotheses=1, cache=tmp_path / "cache.db")
    state = expanded(stage)
    assert texts(state) == ("Light is scattered.",)
    assert "without its cache" in state.degraded[0].reason
    assert len(state.degraded) == 1


def test_without_a_cache_the_model_is_asked_every_time():
    llm = ScriptedGenerator("Light is scattered.")
    stage = Hyde(llm, hypotheses=1, cache=None)
    expanded(stage)
    expanded(stage)
    assert len(llm.requests) == 2


def test_a_failure_is_not_kept():
    cache = MemoryCache()
    with pytest.raises(RuntimeError):
        expanded(Hyde(EmptyGenerator(), hypotheses=4, cache=cache))
    assert len(cache) == 0


def test_what_is_no_cache_is_refused():
    with pytest.raises(
        ConfigurationError, match="cache must be a MemoryCache, a DiskCache, the path of one, or None"
    ):
        Hyde(str.upper, cache=7)
