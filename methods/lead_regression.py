"""Other leads as a linear filter of lead I: least squares over all samples of all records, in one pass.

    x_l(t) = sum over |k| <= half of w_lk (x_I(t + k) - mean of x_I),   zero beyond the ends of the record

Lead I loses the mean of its record first: an offset is the electrode's and not the heart's, the first and last samples
see no step where the record ends, and a filter of a single tap becomes cov(l, I) / var(I). Nothing is added back: the
mean of another lead over a record is a few microvolts, and no lead I foretells it.

Least squares needs sums over samples only: of the products of lead I with itself and with every other lead at each lag.
They come from the records' spectra, so that memory does not grow with the number of records, and no design matrix of
(samples, taps) is ever made.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional


class LeadFilters(nn.Module):
    """Filters from lead I to some other leads, around the present sample.

    Attributes:
        taps: (leads, 2 * half + 1) float64; entry half + k belongs to the sample k later.

    Args:
        leads: how many are made.
        half: samples that are seen before and after the present one.
    """

    taps: Tensor

    def __init__(self, leads: int, half: int) -> None:
        super().__init__()
        width = 2 * half + 1
        # As large as lead I on the average, so that the anchor of random weights is an ECG of the usual height.
        self.register_buffer("taps", torch.randn(leads, width, dtype=torch.float64) / width**0.5)

    def forward(self, lead: Tensor) -> Tensor:
        """(batch, 1, samples) mV -> (batch, leads, samples) mV float32."""
        return apply_taps(self.taps, lead).float()


def apply_taps(taps: Tensor, lead: Tensor) -> Tensor:
    """What filters make of lead I, in float64.

    Args:
        taps: (leads, 2 * half + 1) float64.
        lead: (batch, 1, samples).

    Returns:
        (batch, leads, samples) float64.
    """
    samples, width = lead.shape[-1], taps.shape[-1]
    length = next_fast_len(samples + width - 1, real=True)
    # A correlation with the taps is a convolution with them in reverse.
    spectrum = torch.fft.rfft(centred(lead), length) * torch.fft.rfft(taps.flip(-1), length)
    filtered: Tensor = torch.fft.irfft(spectrum, length)[..., width // 2 : width // 2 + samples]
    return filtered


def centred(lead: Tensor) -> Tensor:
    """(batch, 1, samples) -> the same in float64, without the mean of each record."""
    lead = lead.double()
    return lead - lead.mean(dim=-1, keepdim=True)


class LagSums:
    """The sums over samples of which least squares and its errors are made, record after record.

    Attributes:
        half: samples that are seen before and after the present one.
        gram: (taps, taps), of the products of what two taps see.
        cross: (leads, taps), of the products of a lead and what a tap sees.
        power: (leads,), of the squares of a lead.
        samples: how many there were, of one lead.
    """

    def __init__(self, leads: int, half: int, device: torch.device) -> None:
        width = 2 * half + 1
        self.half = half
        self.gram = torch.zeros(width, width, dtype=torch.float64, device=device)
        self.cross = torch.zeros(leads, width, dtype=torch.float64, device=device)
        self.power = torch.zeros(leads, dtype=torch.float64, device=device)
        self.samples = 0

    def add(self, lead: Tensor, others: Tensor) -> None:
        """Take in some records.

        Args:
            lead: (batch, 1, samples), lead I.
            others: (batch, leads, samples), what is to be made of it.

        Raises:
            ValueError: the records are shorter than the filter.
        """
        batch, _, samples = others.shape
        width = 2 * self.half + 1
        if samples < width:
            raise ValueError(f"records of {samples} samples are shorter than a filter of {width} taps")
        seen, wanted = centred(lead)[:, 0], others.double()
        length = next_fast_len(samples + width - 1, real=True)
        spectrum = torch.fft.rfft(seen, length)
        same = torch.fft.irfft(spectrum.abs().square().sum(dim=0), length)[:width]
        other = torch.einsum("bf,blf->lf", spectrum, torch.fft.rfft(wanted, length).conj())
        lagged = torch.fft.irfft(other, length)
        places = torch.arange(width, device=self.gram.device)
        # Two taps see the same samples at another time, but for those that one of them sees beyond the record's ends.
        self.gram += same[(places[:, None] - places[None, :]).abs()] - self._beyond(seen)
        self.cross += lagged[:, places - self.half]
        self.power += wanted.square().sum(dim=(0, 2))
        self.samples += batch * samples

    def _beyond(self, seen: Tensor) -> Tensor:
        """The products that the autocorrelation counts while the present sample is before or after the record."""
        half = self.half
        beyond = torch.zeros_like(self.gram)
        if half:
            # Each row is what the later (earlier) taps see from one place before the first (after the last) sample.
            before = functional.pad(seen[:, :half], (half - 1, 0)).unfold(-1, half, 1).flatten(0, 1)
            after = functional.pad(seen[:, -half:], (0, half - 1)).unfold(-1, half, 1).flatten(0, 1)
            beyond[half + 1 :, half + 1 :] = before.T @ before
            beyond[:half, :half] = after.T @ after
        return beyond


def solve(sums: LagSums, ridges: Sequence[float]) -> Tensor:
    """Ridge regression at several strengths, from one eigendecomposition.

    Args:
        sums: of the training records.
        ridges: what is added to the diagonal of `sums.gram`, as a share of the power of lead I.

    Returns:
        Taps, (ridges, leads, taps) float64.

    Raises:
        ValueError: lead I is flat in all records.
    """
    power = sums.gram[sums.half, sums.half]
    if not bool(power > 0):
        raise ValueError("lead I has no power")
    values, vectors = torch.linalg.eigh(sums.gram)
    turned = sums.cross @ vectors
    strengths = torch.tensor(list(ridges), dtype=torch.float64, device=values.device)[:, None, None]
    # Rounding leaves the smallest eigenvalues of a band-limited lead a little below zero.
    taps: Tensor = (turned / (values.clamp_min(0) + strengths * power)) @ vectors.T
    return taps


def mean_squared_errors(sums: LagSums, taps: Tensor) -> Tensor:
    """What filters err on the records of some sums, without running them: the error is a quadratic form of the taps.

    Args:
        sums: of the same leads.
        taps: (..., leads, taps).

    Returns:
        (..., leads), the square of the unit of the records.
    """
    explained = 2 * (taps * sums.cross).sum(dim=-1) - ((taps @ sums.gram) * taps).sum(dim=-1)
    errors: Tensor = (sums.power - explained) / sums.samples
    return errors
