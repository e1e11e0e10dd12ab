"""The vocabulary of the task: statements, folds and what they are called."""

from __future__ import annotations

from ..adapters.base import LEADS

MI_STATEMENTS: tuple[str, ...] = ("ALMI", "AMI", "ASMI", "ILMI", "IMI", "IPLMI", "IPMI", "LMI", "PMI")
"""The nine statements that every table reports; `Avg` is the plain mean of their AUCs."""

FREQUENT_MI_STATEMENTS: tuple[str, ...] = ("ALMI", "AMI", "ASMI", "ILMI", "IMI", "LMI")
"""The six with 20 or more positives in PTB-XL's test fold; `Avg6` is the mean of their AUCs."""

TRAIN_FOLDS: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
VALIDATION_FOLD = 9
TEST_FOLD = 10

DEMO_NOTICE = "demo data: not a result"

__all__ = [
    "DEMO_NOTICE",
    "FREQUENT_MI_STATEMENTS",
    "LEADS",
    "MI_STATEMENTS",
    "TEST_FOLD",
    "TRAIN_FOLDS",
    "VALIDATION_FOLD",
]
