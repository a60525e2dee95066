"""YAML that cannot be read: every error says file and line, whatever PyYAML raised."""

from __future__ import annotations

import pytest

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
