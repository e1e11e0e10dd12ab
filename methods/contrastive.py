"""Contrastive losses between pooled embeddings: NT-Xent (SimCLR), 3KG, and the CMSC, CMLC and CMSMLC of CLOCS.

All compare by cosine at temperature 0.1, as fairseq-signals trains them, in float32 or better whatever the autocast,
and in nats. The norm that embeddings are divided by carries no gradient, so that the radial part of it remains.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from .gather import Negatives, gather_rows, gather_with_gradient

Positives = Literal["record", "patient"]

SMALLEST_NORM = 1e-8


class NTXentLoss(nn.Module):
    """NT-Xent of SimCLR (arXiv 2002.05709): each view finds its partner among all other views of the batch.

    Args:
        temperature: what cosines are divided by.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = _checked(temperature)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Mean over the 2 * batch views of -log softmax at the partner.

        Args:
            first, second: (batch, features), the two views of a record in the same row.
        """
        _check_pair(first, second)
        records = torch.arange(len(first), device=first.device)
        return _grouped(torch.cat([first, second]), torch.cat([records, records]), self.temperature)


class GroupedNTXentLoss(nn.Module):
    """The loss of 3KG (arXiv 2106.04452): views of one group are positives, and never negatives of each other.

    Each ordered pair of positives gives -log(e(pair) / (e(pair) + sum of e over rows of other groups)), with
    e = exp(cosine / temperature); the loss is the mean over these pairs. Where every group has two rows it is NT-Xent.

    Args:
        temperature: what cosines are divided by.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = _checked(temperature)

    def forward(self, features: Tensor, groups: Tensor) -> Tensor:
        """The loss; 0 where no group has two rows.

        Args:
            features: (rows, features).
            groups: (rows,) integers, equal for positives.

        Raises:
            ValueError: the number of rows differs.
        """
        if features.ndim != 2 or groups.shape != features.shape[:1]:
            raise ValueError(
                f"features must be (rows, features) with one group a row; got {tuple(features.shape)} and "
                f"{tuple(groups.shape)}"
            )
        return _grouped(features, groups, self.temperature)


class SegmentLoss(nn.Module):
    """CMSC of CLOCS (arXiv 2005.13249): a segment finds the other segment of its group among all other segments.

    The mean over positives of -log softmax over the second segments, and of -log softmax over the first, halved.
    Segments of the same position in time are no negatives of each other. Other positives stay in the denominator.

    Args:
        temperature: what cosines are divided by.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = _checked(temperature)

    def forward(self, first: Tensor, second: Tensor, groups: Tensor) -> Tensor:
        """The loss.

        Args:
            first, second: (batch, features), the two segments of a record in the same row.
            groups: (batch,) integers, equal for positives.
        """
        _check_pair(first, second)
        with torch.autocast(first.device.type, enabled=False):
            logits = unit(first) @ unit(second).T / self.temperature
            return _symmetric(logits, _same(groups, groups))


class LeadLoss(nn.Module):
    """CMLC and CMSMLC of CLOCS: a lead finds another lead of its group, averaged over all pairs of leads.

    For every ordered pair of different leads (a, b) it is the loss of CMSC between lead a of `first` and lead b of
    `second`. CMLC gives the same embeddings twice, and the ordered pairs are then the 66 pairs of leads, each counted
    twice. CMSMLC gives those of two segments.

    Args:
        temperature: what cosines are divided by.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = _checked(temperature)

    def forward(self, first: Tensor, second: Tensor, groups: Tensor) -> Tensor:
        """The loss.

        Args:
            first, second: (batch, leads, features), two leads at least.
            groups: (batch,) integers, equal for positives.
        """
        if first.ndim != 3 or first.shape != second.shape or first.shape[1] < 2:
            raise ValueError(
                f"both embeddings must be (batch, leads, features) with two leads or more; got "
                f"{tuple(first.shape)} and {tuple(second.shape)}"
            )
        with torch.autocast(first.device.type, enabled=False):
            logits = torch.einsum("iaf,jbf->abij", unit(first), unit(second)) / self.temperature
            losses = _symmetric(logits, _same(groups, groups))
            different = ~torch.eye(first.shape[1], dtype=torch.bool, device=first.device)
            return losses[different].mean()


def unit(features: Tensor) -> Tensor:
    """Embeddings over their norm, (..., features); the norm is a constant to the gradient, and never below 1e-8."""
    wide = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
    norm: Tensor = wide.detach().norm(dim=-1, keepdim=True).clamp_min(SMALLEST_NORM)
    return wide / norm


def cosines(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """For the log: mean cosine of partners, which stand in the same row, and of strangers; 0 where there are none.

    Args:
        first, second: (batch, features).
    """
    with torch.no_grad(), torch.autocast(first.device.type, enabled=False):
        cosine = unit(first) @ unit(second).T
        partners, batch = cosine.diagonal().sum(), len(cosine)
        strangers = (cosine.sum() - partners) / max(1, batch * (batch - 1))
        return {"positive_cosine": partners / batch, "negative_cosine": strangers}


def checked_positives(positives: Positives) -> Positives:
    """What was given.

    Raises:
        ValueError: it is neither "record" nor "patient".
    """
    if positives not in get_args(Positives):
        raise ValueError(f"positives must be record or patient; got {positives!r}")
    return positives


def groups_of(positives: Positives, batch: int, patient: Tensor | None, device: torch.device) -> Tensor:
    """(batch,) integers that are equal for positives: every record its own group, or every patient.

    Args:
        positives: "record" or "patient".
        patient: (batch,) integers, needed for "patient" only.

    Raises:
        ValueError: patients are asked for and not given.
    """
    if positives == "record":
        return torch.arange(batch, device=device)
    if patient is None or patient.shape != (batch,):
        raise ValueError("positives by patient need `patient` in the batch, one number for each record")
    return patient.to(device)


def shared_pair(negatives: Negatives, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides of the contrast: as given under "local", and of all processes under "global", with gradient.

    Args:
        first, second: (batch, ...), partners in the same row; as many rows in every process.

    Returns:
        (batch of all, ...) each, in the order of the processes.
    """
    if negatives == "local":
        return first, second
    pair = gather_with_gradient(torch.stack([first, second], dim=1))
    return pair[:, 0], pair[:, 1]


def shared_groups(negatives: Negatives, positives: Positives, groups: Tensor) -> Tensor:
    """The groups that belong to the rows of `shared_pair`.

    Records of one patient stay positives wherever they are; where every record is its own group, those of other
    processes get groups of their own.

    Args:
        groups: (batch,), as `groups_of` makes them.

    Returns:
        (batch,) under "local", (batch of all,) under "global".
    """
    if negatives == "local":
        return groups
    everyone = gather_rows(groups)
    return everyone if positives == "patient" else torch.arange(len(everyone), device=groups.device)


def _grouped(features: Tensor, groups: Tensor, temperature: float) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        rows = unit(features)
        logits = rows @ rows.T / temperature
        same = _same(groups, groups)
        others = logits.masked_fill(same, -math.inf).logsumexp(dim=1, keepdim=True)
        pairs = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        # -log(e^p / (e^p + e^o)) = log(1 + e^(o - p)); a batch without negatives has o = -inf and loses nothing.
        losses = nn.functional.softplus(others - logits)
        return losses.masked_fill(~pairs, 0.0).sum() / pairs.sum().clamp_min(1)


def _symmetric(logits: Tensor, positives: Tensor) -> Tensor:
    """(..., rows, columns) logits -> (...): the softmax loss of positives over rows and over columns, halved."""
    both = -logits.log_softmax(dim=-1) - logits.log_softmax(dim=-2)
    return (both * positives).sum(dim=(-2, -1)) / (2 * positives.sum())


def _same(one: Tensor, other: Tensor) -> Tensor:
    return one.unsqueeze(1) == other.unsqueeze(0)


def _check_pair(first: Tensor, second: Tensor) -> None:
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"both embeddings must be (batch, features); got {tuple(first.shape)} and {tuple(second.shape)}"
        )


def _checked(temperature: float) -> float:
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number; got {temperature!r}")
    return temperature
