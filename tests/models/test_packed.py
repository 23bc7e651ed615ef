"""The packed plan (two variable-length calls a layer) against the block plan.

Its kernels run on CUDA only. Here a loop over the sequences stands in for them; it follows the kernels'
interface: flat (rows, H, D) arrays, cumulative ends, log-sum-exp per row and head.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from raymm.config import ModelConfig, ModelName
from raymm.models import channel_model, eao, kernels, plan
from raymm.models.build import build_model
from raymm.models.plan import Varlen
from tests.models.batches import SPECS, random_batch, random_presence

MODELS: tuple[ModelName, ...] = ("mca", "zorro", "eao")


def sequences(call: Varlen) -> list[tuple[slice, slice]]:
    queries, keys = call.query_ends.tolist(), call.key_ends.tolist()
    return [
        (slice(queries[n], queries[n + 1]), slice(keys[n], keys[n + 1]))
        for n in range(len(queries) - 1)
    ]


def slow_forward(query: Tensor, key: Tensor, value: Tensor, call: Varlen) -> tuple[Tensor, Tensor]:
    out, lse = torch.zeros_like(query), query.new_zeros(query.shape[:2])
    assert call.query_ends[-1] == len(query) and call.key_ends[-1] == len(key) == call.keys
    for mine, seen in sequences(call):
        assert mine.stop - mine.start <= call.longest_query
        assert seen.stop - seen.start <= call.longest_key
        scores = torch.einsum("qhd,khd->qhk", query[mine], key[seen]) * query.shape[-1] ** -0.5
        lse[mine] = scores.logsumexp(-1)
        out[mine] = torch.einsum("qhk,khd->qhd", scores.softmax(-1), value[seen])
    return out, lse


def slow_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, call: Varlen
) -> tuple[Tensor, Tensor, Tensor]:
    scale = query.shape[-1] ** -0.5
    grads = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
    for mine, seen in sequences(call):
        scores = torch.einsum("qhd,khd->qhk", query[mine], key[seen]) * scale
        weights = (scores - lse[mine].unsqueeze(-1)).exp()
        grads[2][seen] += torch.einsum("qhk,qhd->khd", weights, grad[mine])
        by_weight = torch.einsum("qhd,khd->qhk", grad[mine], value[seen])
        shared = (grad[mine] * out[mine]).sum(-1, keepdim=True)
        by_score = weights * (by_weight - shared) * scale
        grads[0][mine] += torch.einsum("qhk,khd->qhd", by_score, key[seen])
        grads[1][seen] += torch.einsum("qhk,qhd->khd", by_score, query[mine])
    return grads


@pytest.mark.parametrize("modalities", [1 + 1, 4])
@pytest.mark.parametrize("sparsity", [0.0, 0.6])
@pytest.mark.parametrize("name", MODELS)
def test_packed_plan_equals_block_plan(
    name: ModelName, sparsity: float, modalities: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = ModelConfig(name=name, width=8, depth=2, heads=2, head_size=8)
    model = build_model(SPECS[:modalities], config)
    batch = random_batch(random_presence(6, modalities, sparsity, seed=3))
    weights = torch.randn(len(model.members), batch.size, 8)

    def run() -> tuple[Tensor, list[Tensor]]:
        vectors = model(batch).vectors
        return vectors, list(torch.autograd.grad((vectors * weights).sum(), model.parameters()))

    by_block = run()
    monkeypatch.setattr(kernels, "varlen_forward", slow_forward)
    monkeypatch.setattr(kernels, "varlen_backward", slow_backward)
    for module in (channel_model, eao):
        monkeypatch.setattr(module, "plan_attention", plan._packed)
    packed = run()
    torch.testing.assert_close(packed[0], by_block[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed[1], by_block[1], atol=1e-4, rtol=1e-4)


def test_slots_list_every_place_of_a_row() -> None:
    slots = plan._slots(np.array([2, 0, 2, 3]), 4)
    assert slots.tolist() == [[1, 4], [4, 4], [0, 2], [3, 4]]


@pytest.mark.parametrize("padded", [False, True])
def test_plain_kernel_of_other_devices_equals_the_cpus(
    padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices without a kernel of their own take plain matrix products."""
    torch.manual_seed(0)
    query, key, value, grad = (torch.randn(3, 2, length, 8) for length in (4, 6, 6, 4))
    lengths = torch.tensor([6, 2, 4]) if padded else None
    out, lse = kernels.dense_forward(query, key, value, lengths)
    grads = kernels.dense_backward(grad, query, key, value, out, lse, lengths)
    monkeypatch.setattr(kernels, "has_cpu_kernel", lambda tensor: False)
    plain_out, plain_lse = kernels.dense_forward(query, key, value, lengths)
    torch.testing.assert_close((plain_out, plain_lse), (out, lse), atol=1e-5, rtol=1e-5)
    plain = kernels.dense_backward(grad, query, key, value, out, lse, lengths)
    torch.testing.assert_close(plain, grads, atol=1e-5, rtol=1e-5)
