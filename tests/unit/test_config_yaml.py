"""YAML that cannot be read: every error says file and line, whatever PyYAML raised."""

from __future__ import annotations

import pytest
import yaml

from hydrant.config.located import parse_yaml
from hydrant.config.space import Space
from hydrant.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2024-13-45\n", "f.yaml, line 2: '2024-13-45' is no value"),
        (f"a:\n- 1\n- {'9' * 5000}\n", "f.yaml, line 3: '9999"),
        ("a: 1\nb: x\0y\n", "f.yaml, line 2: is not YAML: the character '\\x00'"),
    ],
)
def test_values_that_yaml_itself_stumbles_over_are_said_with_file_and_line(text, said):
    with pytest.raises(ConfigurationError) as error:
        parse_yaml(text, "f.yaml")
    assert str(error.value).startswith(said)
    assert len(str(error.value)) < 300


def test_a_choice_in_a_list_is_called_by_the_list(tmp_path):
    (tmp_path / "space.yaml").write_text("stages:\n- Top: {n: 1}\n- choose: [{Top: {n: 2}}, {Top: {n: 3}}]\n")
    names = [variant.config.name for variant in Space.read(tmp_path / "space.yaml").variants()]
    assert names == ["stages.1=Top(n=2)", "stages.1=Top(n=3)"]


def test_a_mapping_that_is_merged_in_gives_way_to_the_keys_beside_it():
    text = "first: &usual {limit: 10, depth: 100}\nsecond:\n  <<: *usual\n  limit: 20\n"
    assert parse_yaml(text, "f.yaml").plain()["second"] == {"limit": 20, "depth": 100}
    again = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: *b\nd: {<<: *b, z: 3}\ne: {<<: {<<: *a, x: 4}}\n"
    assert parse_yaml(again, "f.yaml").plain() == yaml.safe_load(again)
    both = "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b], z: 4}\n"
    assert parse_yaml(both, "f.yaml").plain()["c"] == yaml.safe_load(both)["c"]


def test_a_key_that_stands_twice_is_refused_beside_a_merge_too():
    with pytest.raises(ConfigurationError, match=r"line 2: 'x' stands here twice"):
        parse_yaml("a: &a {y: 1}\nb: {<<: *a, x: 1, x: 2}\n", "f.yaml")
