"""Point ids."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import Passage
from hydrant.collection.ids import content_id, derived_id, point_id
from hydrant.errors import InputError

OWN = st.text() | st.integers(0, 2**64 - 1)
TENANTS = st.none() | st.text(min_size=1) | st.integers()


def is_qdrant_id(value):
    return (isinstance(value, int) and 0 <= value < 2**64) or str(uuid.UUID(value)) == value


@given(OWN, TENANTS)
def test_every_own_id_becomes_one_that_qdrant_takes_and_the_same_every_time(own, tenant):
    assert is_qdrant_id(point_id(own, tenant))
    assert point_id(own, tenant) == point_id(own, tenant)


@given(OWN, OWN, TENANTS, TENANTS)
def test_different_ids_or_tenants_never_share_a_point(own, other, tenant, another):
    if (type(own), own, type(tenant), tenant) != (type(other), other, type(another), another):
        assert str(point_id(own, tenant)) != str(point_id(other, another))


def test_point_ids_stay_as_they_are_without_a_tenant():
    assert point_id(42) == 42
    assert point_id("7c9e6679-7425-40de-944b-e07fc1f90ae7") == "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    assert point_id(0) == 0


@pytest.mark.parametrize("own", [True, 1.5, None, b"x", [], -1, 2**64])
def test_an_id_that_is_neither_text_nor_a_point_number_is_refused_with_its_value(own):
    with pytest.raises(InputError) as caught:
        point_id(own)
    assert repr(own) in str(caught.value)


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_derived_ids_differ_wherever_their_parts_do(parts, others):
    assert (derived_id(*parts) == derived_id(*others)) == (parts == others)


@given(st.text(), st.text(), st.text())
def test_a_content_id_depends_on_text_title_source_and_tenant(text, title, source):
    ids = {
        content_id(Passage(text, title=title, source=source), None),
        content_id(Passage(text + "!", title=title, source=source), None),
        content_id(Passage(text, title=title + "!", source=source), None),
        content_id(Passage(text, title=title, source=source + "!"), None),
        content_id(Passage(text, title=title, source=source), "t"),
        content_id(Passage(text, title=title, source=source), 1),
        content_id(Passage(text, title=title, source=source), "1"),
    }
    assert len(ids) == 7
