"""Small models of pairs for the tests: of words, of judgments, of torch."""

from __future__ import annotations

import re
import threading

import pytest

WORD = re.compile(r"\w+")


class SharedWords:
    """Scores by the words that query and document share; counts what it is asked."""

    def __init__(self, most=None):
        self.calls = []
        self.pairs = 0
        if most is not None:
            self.max_score = most
        self._lock = threading.Lock()

    def score(self, pairs):
        with self._lock:
            self.calls.append(list(pairs))
            self.pairs += len(pairs)
        return [self.of(query, document) for query, document in pairs]

    def of(self, query, document):
        shared = set(WORD.findall(query.lower())) & set(WORD.findall(document.lower()))
        return float(min(len(shared), getattr(self, "max_score", len(shared))))


class Broken:
    def score(self, pairs):
        raise ConnectionError("the scorer is gone")


def cross_encoder(folder, labels=1, max_length=128, seed=0, names=None):
    """A BERT of two thin layers with a fresh head and a vocabulary of letters and digits, saved in a folder."""
    pytest.importorskip("sentence_transformers")
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    signs = "abcdefghijklmnopqrstuvwxyz0123456789.,;?!()[]'-"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, *(f"##{sign}" for sign in signs[:36])]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary_file = folder / "vocab.txt"
    vocabulary_file.write_text("\n".join(vocabulary), encoding="utf-8")
    raw = folder / "raw"
    tokenizer = BertTokenizerFast(vocab=str(vocabulary_file), model_max_length=max_length)
    tokenizer.save_pretrained(raw)
    torch.manual_seed(seed)
    named = (
        {}
        if names is None
        else {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=max_length,
        num_labels=labels,
        initializer_range=0.5,
        **named,
    )
    BertForSequenceClassification(config).save_pretrained(raw)
    model = CrossEncoder(str(raw), device="cpu")
    saved = folder / "model"
    model.save_pretrained(str(saved))
    return saved
