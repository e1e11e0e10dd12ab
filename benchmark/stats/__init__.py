"""How certain a number is: intervals of AUCs, paired differences between methods, and ranks over statements.

Uncertainty here is that of the test records. Spread over seeds is another thing, and nothing here mixes the two.
"""

from __future__ import annotations

from ..multiplicity import holm
from .bootstrap import resample_weights, resampled_aucs, resampled_means
from .comparison import PAIRED_BOOTSTRAP, PAIRED_THEORY, Differences, paired_differences
from .delong import delong
from .intervals import (
    BOOTSTRAP,
    ENOUGH_POSITIVES,
    HANLEY_MCNEIL,
    Interval,
    hanley_mcneil_error,
    hanley_mcneil_interval,
)
from .summary import AVERAGE, Summary, summarize

__all__ = [
    "AVERAGE",
    "BOOTSTRAP",
    "ENOUGH_POSITIVES",
    "HANLEY_MCNEIL",
    "PAIRED_BOOTSTRAP",
    "PAIRED_THEORY",
    "Differences",
    "Interval",
    "Summary",
    "delong",
    "hanley_mcneil_error",
    "hanley_mcneil_interval",
    "holm",
    "paired_differences",
    "resample_weights",
    "resampled_aucs",
    "resampled_means",
    "summarize",
]
