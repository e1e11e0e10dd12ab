"""The batched heads against the plain loop that everybody writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from mibench.benchmark.probe import Head, HeadTask, ProbeSettings, epoch_order, first_weights, train_heads


def plain_loop(
    task: HeadTask,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    settings: ProbeSettings,
) -> Head:
    """One head with autograd, torch's Adam and scheduler, and scikit-learn's AUC."""
    features, labels = train[0][task.rows], train[1][task.rows].to(train[0].dtype)
    weight, bias = first_weights(features.shape[1], labels.shape[1], task.seed)
    linear = nn.Linear(features.shape[1], labels.shape[1]).to(features.dtype)
    linear.weight.data, linear.bias.data = weight.T.clone().to(features.dtype), bias.clone().to(features.dtype)
    optimizer = torch.optim.Adam(linear.parameters(), settings.learning_rate, settings.betas, settings.eps)
    steps = settings.epochs * -(-len(features) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    history: list[float] = []
    best: tuple[float, int, Tensor, Tensor] | None = None
    for epoch in range(settings.epochs):
        for chosen in epoch_order(len(features), task.seed, epoch).split(settings.batch_size):
            loss = nn.functional.binary_cross_entropy_with_logits(linear(features[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            scores = linear(validation[0]).numpy()
        truth = validation[1].numpy()
        defined = [column for column in range(truth.shape[1]) if 0 < truth[:, column].sum() < len(truth)]
        history.append(float(np.mean([roc_auc_score(truth[:, column], scores[:, column]) for column in defined])))
        if best is None or history[-1] > best[0]:
            best = (history[-1], epoch + 1, linear.weight.data.T.clone(), linear.bias.data.clone())
        elif epoch + 1 - best[1] >= settings.patience:
            break
    assert best is not None
    return Head(best[2], best[3], best[1], len(history), tuple(history))


@pytest.fixture(scope="module")
def problem() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Noisy linear labels, some rare, one without positives in validation; double precision to compare tightly."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(700, 24, generator=generator, dtype=torch.float64)
    truth = features @ torch.randn(24, 7, generator=generator, dtype=torch.float64)
    truth = truth + 4 * torch.randn(700, 7, generator=generator, dtype=torch.float64)
    labels = (truth > torch.tensor([0.0, 2, 4, 6, 8, 9, 0], dtype=torch.float64)).to(torch.uint8)
    labels[500:, 6] = 0
    return (features[:500], labels[:500]), (features[500:], labels[500:])


def tasks_of_different_lengths() -> list[HeadTask]:
    generator = np.random.default_rng(3)
    return [
        HeadTask(rows=np.sort(generator.permutation(500)[:count]), seed=seed)
        for count in (125, 250, 500)
        for seed in range(3)
    ]


def test_every_head_equals_the_plain_loop(problem: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
    settings = ProbeSettings(learning_rate=2e-2, epochs=25, batch_size=32, patience=3)
    tasks = tasks_of_different_lengths()
    together = train_heads(tasks, *problem, settings)
    alone = [plain_loop(task, *problem, settings) for task in tasks]
    for ours, theirs in zip(together, alone, strict=True):
        assert (ours.best_epoch, ours.epochs) == (theirs.best_epoch, theirs.epochs)
        np.testing.assert_allclose(ours.validation, theirs.validation, atol=1e-12)
        torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-8, atol=1e-10)
    stopped_at = {head.epochs for head in together}
    assert len(stopped_at) > 1, "the heads must stop at different epochs for this test to mean anything"
    assert min(stopped_at) < settings.epochs


def test_company_does_not_change_a_head(problem: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
    settings = ProbeSettings(epochs=4, batch_size=64)
    tasks = tasks_of_different_lengths()
    together = train_heads(tasks, *problem, settings)
    (alone,) = train_heads([tasks[4]], *problem, settings)
    torch.testing.assert_close(together[4].weight, alone.weight, rtol=1e-10, atol=1e-12)


def test_repeats_bit_for_bit(problem: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
    settings = ProbeSettings(epochs=3)
    first, second = (train_heads(tasks_of_different_lengths(), *problem, settings) for _ in range(2))
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(first, second, strict=True))


def test_the_best_epoch_is_kept_not_the_last(problem: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
    settings = ProbeSettings(learning_rate=0.2, epochs=40, batch_size=8, patience=4)
    (head,) = train_heads([HeadTask(np.arange(100), seed=0)], *problem, settings)
    assert head.validation[head.best_epoch - 1] == max(head.validation)
    assert head.best_epoch < head.epochs
    scores = head.scores(problem[1][0])
    truth = problem[1][1].numpy()
    macro = np.mean([roc_auc_score(truth[:, column], scores[:, column]) for column in range(6)])
    assert macro == pytest.approx(max(head.validation), abs=1e-6)


@pytest.mark.parametrize("monitor", ["auc44", "auc9", "loss"])
def test_each_monitor_selects_by_itself(
    problem: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], monitor: str
) -> None:
    settings = ProbeSettings(epochs=3, monitor=monitor)  # type: ignore[arg-type]
    (head,) = train_heads([HeadTask(np.arange(500), seed=0)], *problem, settings, monitored=[0, 1])
    last = head.scores(problem[1][0])
    if monitor == "loss":
        target = problem[1][1].double()
        logits = problem[1][0] @ head.weight + head.bias
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target).item()
        assert max(head.validation) == pytest.approx(-loss)
    else:
        truth = problem[1][1].numpy()[:, :2]
        assert max(head.validation) == pytest.approx(roc_auc_score(truth, last[:, :2]), abs=1e-6)


def test_settings_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ProbeSettings(epochs=0)
