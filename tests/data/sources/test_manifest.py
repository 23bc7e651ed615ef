from __future__ import annotations

import pytest

from raymm.data.sources.manifest import Manifest, parse
from raymm.data.sources.manifest import __doc__ as example
from raymm.errors import DataError


def test_the_example_in_the_documentation_is_read() -> None:
    assert example is not None
    manifest = parse(example.partition("\n\n")[2].encode(), "dataset.toml")
    assert manifest.id == "patient"
    assert manifest.classes == {"0": "survived", "1": "died"}
    assert manifest.columns == {"vitals": ("HR_first", "HR_last")}
    assert parse(b"", "dataset.toml") == Manifest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "dataset.toml is not valid TOML"),
        ("modality = ['a']", "has no entry 'modality': did you mean 'modalities'"),
        (
            "[label]\ncolum = 'a'",
            r"\[label\] of dataset.toml has no entry 'colum': did you mean 'c",
        ),
        ("[label]\ntask = 'regresion'", "task = 'regresion' .* did you mean 'regression'"),
        ("label = 'y'", r"should be a group: write it as \[label\]"),
        ("name = 3", "'name' in dataset.toml = 3 should be text"),
        ("modalities = 'a'", "should be a list of texts"),
        ("modalities = ['a', 'a']", "names 'a' twice"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(text.encode(), "dataset.toml")
