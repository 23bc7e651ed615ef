"""What a report of the sweep over operations says of the encoders and of what is seen of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.config import FusionOperation
from raymm.encoders.embed import embed_pairs
from raymm.sweep.operations import OperationSettings
from raymm.sweep.operations_words import encoder_names, how
from raymm.sweep.plan import Sweep, prepare_sweep
from tests.tasks.tiny import TinyEncoder, squares


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    encoders = {"image": TinyEncoder("image"), "text": TinyEncoder("text", "-b")}
    embed_pairs(squares(60), encoders, "tokens", tokens=True)
    embed_pairs(squares(60), encoders, "pooled")
    return tmp_path


def sweep(dataset: str, *operations: FusionOperation, pool_tokens: bool = True) -> Sweep:
    settings = OperationSettings(
        dataset=dataset, operations=operations, held_out=10, pool_tokens=pool_tokens
    )
    return prepare_sweep(settings)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("dataset", "operations", "pool_tokens", "seen"),
    [
        ("pooled", ("add",), True, "one vector of each is fused."),
        ("tokens", ("add",), True, "the operations see the mean of the tokens."),
        ("tokens", ("add",), False, "the operations see each token."),
        ("tokens", ("dot_attention",), True, "attention chooses among their tokens."),
        ("tokens", ("add", "dot_attention"), True,
         "attention chooses among their tokens, the other operations see the mean of the tokens."),
    ],
)  # fmt: skip
def test_what_the_operations_see(
    dataset: str, operations: tuple[FusionOperation, ...], pool_tokens: bool, seen: str
) -> None:
    """The encoders are those of the embeddings, not those that a setting names."""
    own, ridge = how([sweep(dataset, *operations, pool_tokens=pool_tokens)])
    assert own.startswith(f"tiny-image and tiny-text-b stay frozen; {seen}")
    assert ("mean token" in ridge) == (dataset == "tokens")


@pytest.mark.usefixtures("place")
def test_a_set_that_does_not_say_its_encoders(place: Path) -> None:
    made = sweep("tokens", "add")
    (place / "tokens" / "embeddings.json").unlink()
    assert encoder_names(made.dataset) == []
    assert how([made])[0].startswith("The encoders stay frozen")
