"""Which records are held out: whatever the list, no patient is on both sides unless that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.holdout import Holdout, describe, divide, in_words

PATIENTS = st.lists(st.integers(0, 12), min_size=2, max_size=60).map(lambda who: np.array(who, dtype=np.str_))


def by_subject(*records: int) -> np.ndarray:
    return np.array([str(subject) for subject, count in enumerate(records) for _ in range(count)])


@given(PATIENTS, st.integers(1, 59), st.sampled_from(["validation", "training", "keep"]))
def test_the_tail_loses_nothing_but_who_straddles(patients: np.ndarray, wanted: int, straddling: str) -> None:
    holdout = Holdout(wanted, "tail", straddling)  # type: ignore[arg-type]
    try:
        division = divide(patients, holdout, "set")
    except MibenchError:
        before, after = set(patients[:-wanted].tolist()), set(patients[-wanted:].tolist())
        assert not before or (straddling == "validation" and after <= before) or before <= after
        return
    tail = np.arange(len(patients)) >= len(patients) - wanted
    both = np.isin(patients, np.intersect1d(patients[tail], patients[~tail]))
    lost = both & {"validation": tail, "training": ~tail, "keep": np.zeros_like(tail)}[straddling]
    np.testing.assert_array_equal(division.folds, np.where(lost, 0, np.where(tail, 9, 1)))
    assert division.straddling == len(set(patients[both].tolist()))
    if straddling != "keep":
        assert not set(patients[division.folds == 9].tolist()) & set(patients[division.folds == 1].tolist())


@given(PATIENTS, st.integers(1, 59), st.integers(0, 3))
def test_drawn_patients_are_whole_and_just_enough(patients: np.ndarray, wanted: int, seed: int) -> None:
    try:
        division = divide(patients, Holdout(wanted, "patient-random", seed=seed), "set")
    except MibenchError:
        return
    held, trained = patients[division.folds == 9], patients[division.folds == 1]
    assert len(held) + len(trained) == len(patients)
    assert not set(held.tolist()) & set(trained.tolist())
    assert len(held) >= wanted
    assert any(len(held) - (held == patient).sum() < wanted for patient in set(held.tolist()))
    again = divide(patients, Holdout(wanted, "patient-random", seed=seed), "set")
    np.testing.assert_array_equal(division.folds, again.folds)


def test_the_usual_number_is_5000_and_a_quarter_of_a_small_set() -> None:
    assert (divide(np.arange(20_000).astype(str), Holdout(), "set").folds == 9).sum() == 5000
    small = divide(np.arange(400).astype(str), Holdout(), "set")
    assert (small.folds == 9).sum() == 100
    assert "a quarter" in in_words(describe(Holdout(), small))


def test_a_patient_on_both_sides_is_said() -> None:
    for straddling, says in (
        ("validation", "out of the held-out"),
        ("training", "out of the training"),
        ("keep", "not disjoint"),
    ):
        holdout = Holdout(3, "tail", straddling)  # type: ignore[arg-type]
        assert says in in_words(describe(holdout, divide(by_subject(3, 3, 2), holdout, "set")))


@pytest.mark.parametrize(
    ("records", "wanted", "says"),
    [((3, 3), 6, "no record left to train on"), ((3,), None, "nothing to watch"), ((2, 5), 3, "left to hold out")],
)
def test_a_division_that_leaves_nothing_is_refused(records: tuple[int, ...], wanted: int | None, says: str) -> None:
    with pytest.raises(MibenchError, match=says):
        divide(by_subject(*records), Holdout(wanted), "set")
