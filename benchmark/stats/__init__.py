"""How certain a number is: intervals of AUCs, paired differences between methods, and ranks over statements.

Uncertainty here is that of the test records. Spread over seeds is another thing, and nothing here mixes the two.
"""

from __future__ import annotations

from .bootstrap import resample_weights, resampled_aucs
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
    "Interval",
    "Summary",
    "hanley_mcneil_error",
    "hanley_mcneil_interval",
    "resample_weights",
    "resampled_aucs",
    "summarize",
]
