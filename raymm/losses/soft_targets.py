"""CBMF's loss: InfoNCE whose targets are how alike the samples are (CBMF, eq. 3 to 6).

Two samples that say much the same should not be pushed apart because they are two, so the target of a
row is not its own sample alone. With hatted, normalised embeddings x and y of a pair's M samples,

    l1_ij = -log softmax_j(<x_i, y_j> / tau)                         (3)
    l2_ij = -log softmax_j(<y_i, x_j> / tau)                         (4)
    t_ij  = softmax_j((<x_i, x_j> + <y_i, y_j>) / (2 tau))           (5)
    L     = 1 / (2 M) sum_ij t_ij l1_ij + t_ji l2_ij                 (6)

The targets are constants: no gradient goes through them. What is left to minimise is how far the
softmaxes of (3) and (4) are from t, and embeddings that are all alike leave nothing of that: both are
uniform then. So the embeddings of each modality may draw together where modalities share little, and
little drives them apart again; own samples as targets (`cbmf_targets="hard"`) do.

Equation 6 weighs l2_ij with t_ji as printed, so that both terms of it together are t_ij times
(log sum_m e^(s_im) + log sum_m e^(s_mj) - 2 s_ij), with s_ij = <x_i, y_j> / tau.

Shapes: P pairs, B samples of the global batch, d components.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raymm.losses.contrastive import ContrastiveLoss


class SoftTargetLoss(ContrastiveLoss):
    """Mean over the pairs of equation 6; pairs, gathering and temperature as in `ContrastiveLoss`.

    A pair's term runs over the samples that have both embeddings. With `negatives="all"` the others
    stay in the denominators of equations 3 and 4, and have no weight as targets.
    """

    def _terms(self, one: Tensor, two: Tensor, both: Tensor) -> Tensor:
        """Equation 6 of each pair, (P,).

        Args:
            one, two: (P, B, d) the pairs' embeddings.
            both: (P, B) samples that have both.
        """
        logits = (one @ two.transpose(1, 2)) * self.scale()
        by_row, by_column = self._denominators(logits, both)
        targets = self._targets(one, two, both)
        rows = (both * by_row).sum(1)
        columns = (targets.sum(1) * by_column).sum(1)
        matches = (targets * logits).sum((1, 2))
        return (rows + columns - 2 * matches) / (2 * both.sum(1).clamp(min=1))

    @torch.no_grad()
    def _targets(self, one: Tensor, two: Tensor, both: Tensor) -> Tensor:
        """t_ij of equation 5, (P, B, B); 0 for samples that lack a side."""
        alike = (one @ one.transpose(1, 2) + two @ two.transpose(1, 2)) * (self.scale() / 2)
        absent = ~both.unsqueeze(1)
        alike.masked_fill_(absent, torch.finfo(alike.dtype).min)
        return alike.softmax(2).masked_fill_(absent | ~both.unsqueeze(2), 0.0)
