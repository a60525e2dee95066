"""Fixed dimensional encodings against a plain reference, and against the MaxSim that they estimate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant.encode import fde
from hydrant.encode.fde import FdeShape, FixedEncoding, nearest_taken
from hydrant.errors import ConfigurationError

WIDTH = 6
PINNED = [-0.75, 1.1, -0.15]
SHAPES = st.builds(
    FdeShape,
    k_sim=st.integers(1, 4),
    dim_proj=st.none() | st.integers(1, WIDTH),
    repetitions=st.integers(1, 4),
    final_dim=st.none() | st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
    fill_empty=st.booleans(),
)
COUNTS = st.lists(st.integers(0, 7), min_size=1, max_size=4)


def texts(counts, seed=0, width=WIDTH):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((count, width)).astype(np.float32) for count in counts]


def unit(tokens):
    return [each / np.linalg.norm(each, axis=1, keepdims=True) for each in tokens]


def maxsim(query, document):
    return float((query @ document.T).max(axis=1).sum())


def reference(shape, tokens, *, document):
    """The paper's words, one vector after the other, with the numbers drawn as the library promises to."""
    random = np.random.RandomState(shape.seed)
    width = tokens.shape[1]
    blocks = []
    for _ in range(shape.repetitions):
        planes = random.standard_normal((shape.k_sim, width)).astype(np.float32)
        project = np.eye(width)
        if shape.dim_proj is not None:
            signs = 2 * random.randint(0, 2, size=(width, shape.dim_proj), dtype=np.int32) - 1
            project = signs / np.sqrt(shape.dim_proj)
        held = {}
        for token in tokens:
            code = sum(1 << bit for bit, plane in enumerate(planes) if plane @ token > 0)
            held.setdefault(code, []).append(token.astype(float) @ project)
        for code in range(2**shape.k_sim):
            source = code
            if document and shape.fill_empty and held and code not in held:
                source = min(held, key=lambda other: ((other ^ code).bit_count(), other))
            vectors = held.get(source, [np.zeros(project.shape[1])])
            blocks.append(np.mean(vectors, axis=0) if document else np.sum(vectors, axis=0))
    whole = np.concatenate(blocks) / np.sqrt(shape.repetitions)
    if shape.final_dim is None:
        return whole
    targets = random.randint(0, shape.final_dim, size=len(whole), dtype=np.int32)
    signs = 2 * random.randint(0, 2, size=len(whole), dtype=np.int32) - 1
    hashed = np.zeros(shape.final_dim)
    for target, sign, value in zip(targets, signs, whole, strict=True):
        hashed[target] += sign * value
    return hashed


@given(SHAPES, COUNTS, st.booleans())
def test_encodings_are_those_of_the_plain_reference(shape, counts, document):
    tokens = texts(counts)
    encoding = FixedEncoding(shape, WIDTH)
    encoded = encoding.document(tokens) if document else encoding.query(tokens)
    assert encoded.shape == (len(counts), shape.dimensions(WIDTH))
    assert encoded.dtype == np.float32
    expected = [reference(shape, each, document=document) for each in tokens]
    np.testing.assert_allclose(encoded, expected, atol=1e-4)


@given(SHAPES, COUNTS)
def test_texts_are_encoded_alike_in_any_company_and_in_any_portions(shape, counts):
    tokens = texts(counts)
    encoding = FixedEncoding(shape, WIDTH)
    together = encoding.document(tokens)
    alone = np.concatenate([encoding.document([each]) for each in tokens])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fde, "_ROOM", 1)
        np.testing.assert_allclose(encoding.document(tokens), together, atol=1e-5)


@given(SHAPES, st.integers(1, 6), st.integers(1, 6), st.floats(0.1, 10))
def test_query_encoding_is_linear(shape, one, other, factor):
    a, b = texts([one, other])
    encoding = FixedEncoding(shape, WIDTH)
    parts = encoding.query([a, b])
    np.testing.assert_allclose(encoding.query([np.concatenate([a, b])])[0], parts.sum(axis=0), atol=1e-4)
    np.testing.assert_allclose(
        encoding.query([np.float32(factor) * a])[0], factor * parts[0], rtol=1e-3, atol=1e-3
    )


@given(SHAPES, st.integers(1, 6))
def test_document_does_not_care_how_often_it_says_the_same(shape, count):
    (tokens,) = texts([count])
    once, thrice = FixedEncoding(shape, WIDTH).document([tokens, np.concatenate([tokens] * 3)])
    np.testing.assert_allclose(once, thrice, atol=1e-5)


@given(SHAPES, COUNTS)
def test_one_seed_gives_one_encoding_and_another_gives_another(shape, counts):
    tokens = texts([*counts, 5])
    again = FixedEncoding(shape, WIDTH).document(tokens)
    np.testing.assert_array_equal(FixedEncoding(shape, WIDTH).document(tokens), again)
    other = FdeShape(dim_proj=4, repetitions=3, seed=shape.seed ^ 1)
    own = FdeShape(dim_proj=4, repetitions=3, seed=shape.seed)
    assert not np.allclose(
        FixedEncoding(other, WIDTH).document(tokens), FixedEncoding(own, WIDTH).document(tokens)
    )


def test_what_is_drawn_never_changes():
    # Collections hold these numbers: another version must draw the same.
    (tokens,) = texts([3], seed=1)
    tokens[:] = np.arange(18).reshape(3, 6) / 10 - 0.8
    encoded = FixedEncoding(
        FdeShape(k_sim=1, dim_proj=2, repetitions=2, final_dim=3, seed=7), WIDTH
    ).document([tokens])
    np.testing.assert_allclose(encoded[0], PINNED, atol=1e-5)


@given(st.integers(1, 5), st.data())
def test_nearest_taken_bucket_is_the_one_that_a_search_finds(bits, data):
    taken = np.array(data.draw(st.lists(st.booleans(), min_size=2**bits, max_size=2**bits)))
    found = nearest_taken(np.stack([taken, ~taken]))
    for row, own in zip(found, (taken, ~taken), strict=True):
        held = np.flatnonzero(own).tolist()
        for code, source in enumerate(row.tolist()):
            if held:
                assert source == min(held, key=lambda other: ((other ^ code).bit_count(), other))
            else:
                assert source >= 2**bits


def test_filled_document_has_something_in_every_bucket_and_a_query_has_not():
    tokens = texts([3])
    shape = FdeShape(k_sim=4, dim_proj=None, repetitions=1, fill_empty=True)
    encoding = FixedEncoding(shape, WIDTH)
    filled = encoding.document(tokens).reshape(16, WIDTH)
    assert (np.abs(filled).sum(axis=1) > 0).all()
    assert (np.abs(encoding.query(tokens).reshape(16, WIDTH)).sum(axis=1) > 0).sum() <= 3
    bare = FixedEncoding(FdeShape(k_sim=4, dim_proj=None, repetitions=1, fill_empty=False), WIDTH)
    assert (np.abs(bare.document(tokens).reshape(16, WIDTH)).sum(axis=1) > 0).sum() <= 3


def test_text_without_vectors_is_zero_beside_others():
    none, some = FixedEncoding(FdeShape(), 16).document(texts([0, 4], width=16))
    assert not none.any()
    assert some.any()
    assert FixedEncoding(FdeShape(), 16).document([]).shape == (0, 10_240)


# ---- MaxSim ------------------------------------------------------------------------------------------------------


def topical(number, seed, width=32):
    """Texts about one of eight things each: their vectors lie around one direction, as those of real texts do."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((8, width))
    made = [
        centres[rng.integers(8)] + rng.standard_normal((rng.integers(4, 12), width)) for _ in range(number)
    ]
    return unit([each.astype(np.float32) for each in made])


def agreement(shape, queries, documents):
    """The mean rank correlation with MaxSim over the queries."""
    encoding = FixedEncoding(shape, 32)
    estimated = encoding.query(queries) @ encoding.document(documents).T
    exact = np.array([[maxsim(query, document) for document in documents] for query in queries])
    ranks = [np.argsort(np.argsort(scores, axis=1), axis=1) for scores in (estimated, exact)]
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(*ranks, strict=True)]))


def test_order_comes_nearer_to_maxsim_with_the_repetitions():
    queries, documents = topical(12, 1), topical(120, 2)
    reached = [
        np.mean([agreement(FdeShape(3, 8, count, seed=seed), queries, documents) for seed in range(3)])
        for count in (1, 4, 16, 64)
    ]
    assert reached == sorted(reached)
    assert reached[-1] > 0.85
    assert reached[-1] - reached[0] > 0.2


def test_product_estimates_maxsim_itself_and_never_more_where_vectors_are_kept_whole():
    queries, documents = topical(12, 1), topical(60, 2)
    # Filled: an empty bucket counts 0, which is more than the negative product of a vector that is unlike all others.
    encoding = FixedEncoding(FdeShape(k_sim=4, dim_proj=None, repetitions=40, fill_empty=True), 32)
    estimated = encoding.query(queries) @ encoding.document(documents).T
    exact = np.array([[maxsim(query, document) for document in documents] for query in queries])
    # A mean of a bucket cannot beat the best of all.
    assert (estimated <= exact + 1e-3).all()
    best = exact.argmax(axis=1)
    share = estimated[np.arange(12), best] / exact[np.arange(12), best]
    assert 0.5 < share.mean() <= 1


def test_text_finds_itself_exactly_where_every_vector_is_alone_in_its_bucket():
    tokens = unit(texts([3], width=32))
    encoding = FixedEncoding(FdeShape(k_sim=12, dim_proj=None, repetitions=2), 32)
    own = float(encoding.query(tokens)[0] @ encoding.document(tokens)[0])
    assert own == pytest.approx(3, abs=1e-4)


def test_hashing_keeps_products_in_expectation():
    queries, documents = topical(6, 1), topical(6, 2)
    whole = FixedEncoding(FdeShape(3, 8, 4), 32)
    exact = whole.query(queries) @ whole.document(documents).T
    hashed = []
    for seed in range(150):
        sketch = fde._Sketch(np.random.RandomState(seed), FdeShape(3, 8, 4, final_dim=128), 32)
        hashed.append(sketch.of(whole.query(queries)) @ sketch.of(whole.document(documents)).T)
    np.testing.assert_allclose(np.mean(hashed, axis=0), exact, atol=0.15 * np.abs(exact).max())


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("k_sim", value) for value in (0, 13, 2.0, "5", True, None)),
        *(("dim_proj", value) for value in (0, -1, 1.5)),
        *(("repetitions", value) for value in (0, None)),
        *(("final_dim", value) for value in (0, "all")),
        *(("seed", value) for value in (-1, 2**32, 0.5)),
        ("fill_empty", 1),
    ],
)
def test_setting_that_cannot_work_is_refused_with_its_name_and_value(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} must be .*{value!r}"):
        FdeShape(**{name: value})


def test_more_dimensions_than_there_are_is_refused():
    with pytest.raises(ConfigurationError, match=r"dim_proj can be at most 6, .* got 16"):
        FixedEncoding(FdeShape(), WIDTH)
    with pytest.raises(ConfigurationError, match=r"final_dim can be at most 24, .* got 25"):
        FixedEncoding(FdeShape(k_sim=1, dim_proj=6, repetitions=2, final_dim=25), WIDTH)
