"""What an AUC does not show: average precision, sensitivity at a fixed specificity, Brier score and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 256
"""Resamples worked on at once: what they need stays in the processor's cache."""

_STEPS = 100
_CONVERGED = 1e-10

SEPARATED = "its logits separate positives from negatives: no finite slope fits"
NO_MINIMUM = "the recalibration did not converge"


def detection_figures(
    scores: NDArray[Any], labels: NDArray[np.bool_], weights: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Average precision, and sensitivities at 90 and 95 % specificity, of one statement in every resample.

    A record counts as found when its score reaches the threshold, so equal scores are found together. The threshold
    of a specificity is the lowest that no more than 10 or 5 % of the negatives reach.

    Args:
        scores: (records,), any increasing scale.
        labels: (records,), True for present.
        weights: (resamples, records), how often each record counts; a single row of ones gives the figures themselves.

    Returns:
        (3, resamples). NaN where a resample lost one class.
    """
    negative, negatives_below = _order(scores, ~labels, scores[labels])
    positive, positives_below = _order(scores, labels, scores[labels])
    found = np.empty((3, len(weights)))
    for start in range(0, len(weights), _BLOCK):
        block = np.ascontiguousarray(weights[start : start + _BLOCK].T, dtype=np.int32)
        own = block[labels]
        false, negatives = _reaching(block[negative], negatives_below)
        true, positives = _reaching(block[positive], positives_below)
        called = np.maximum(true + false, 1)  # a record that was drawn reaches its own score
        place = slice(start, start + block.shape[1])
        with np.errstate(invalid="ignore", divide="ignore"):
            found[0, place] = (own * (true / called)).sum(0) / positives
            # Whole numbers: a tenth of the negatives is a tenth, whatever floats make of it.
            for line, twentieths in ((1, 2), (2, 1)):
                found[line, place] = np.where(20 * false <= twentieths * negatives, own, 0).sum(0) / positives
        found[:, place][:, negatives == 0] = np.nan
    return found


def _order(
    scores: NDArray[Any], chosen: NDArray[np.bool_], asked: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The chosen records by score, and how many of them lie below each score that is asked for."""
    places = np.flatnonzero(chosen)
    places = places[np.argsort(scores[places], kind="stable")]
    return places, np.searchsorted(scores[places], asked, side="left")


def _reaching(drawn: NDArray[np.int32], below: NDArray[np.intp]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """How many of the drawn reach each asked score, (asked, resamples), and how many there are."""
    summed = np.zeros((len(drawn) + 1, drawn.shape[1]), dtype=np.int32)
    np.cumsum(drawn, axis=0, out=summed[1:])
    return summed[-1] - summed[below], summed[-1]


def clopper_pearson(found: int, positives: int) -> tuple[float, float]:
    """Exact 95 % interval of a share, such as a sensitivity whose threshold is taken as given."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, found, positives - found + 1)) if found else 0.0
    high = float(beta.ppf(0.975, found + 1, positives - found)) if found < positives else 1.0
    return low, high


def brier(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Mean squared distance of the sigmoid from the label: (records, statements) each -> (statements,)."""
    return np.asarray(((_sigmoid(np.asarray(logits, dtype=np.float64)) - labels) ** 2).mean(0))


def calibration(logits: NDArray[Any], labels: NDArray[np.bool_]) -> tuple[float, float] | str:
    """Slope and intercept of the logistic regression of the label on the logit; 1 and 0 are perfect.

    Returns:
        Both, or a sentence that says why there are none.
    """
    values = np.asarray(logits, dtype=np.float64)
    positive, negative = values[labels], values[~labels]
    if not len(positive) or not len(negative):
        return "it has no positives or no negatives"
    if values.min() == values.max():
        return "its logits are all the same"
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return SEPARATED
    centre, scale = values.mean(), values.std()
    fitted = _newton(np.column_stack([(values - centre) / scale, np.ones_like(values)]), labels)
    if fitted is None:
        return NO_MINIMUM
    slope = float(fitted[0] / scale)
    return slope, float(fitted[1] - slope * centre)


def _newton(design: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Maximum likelihood of a logistic regression; steps that make it worse are halved."""
    share = labels.mean()
    guess = np.array([0.0, np.log(share / (1 - share))])
    loss = _loss(design @ guess, labels)
    for _ in range(_STEPS):
        chance = _sigmoid(design @ guess)
        slope = design.T @ (chance - labels)
        curve = (design * (chance * (1 - chance))[:, None]).T @ design
        try:
            step = np.linalg.solve(curve, slope)
        except np.linalg.LinAlgError:
            return None
        if np.abs(step).max() < _CONVERGED:
            return guess
        while (trial := _loss(design @ (guess - step), labels)) > loss and np.abs(step).max() >= _CONVERGED:
            step = step / 2
        guess, loss = guess - step, trial
    return None


def _loss(logits: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    return float(np.logaddexp(0, np.where(labels, -logits, logits)).sum())


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without overflow at either end."""
    return np.asarray(0.5 * (1 + np.tanh(logits / 2)))
