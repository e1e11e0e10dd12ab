"""What SelfMIS trains, what it leaves alone, and what it says of a batch."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor

from mibench.methods.nets.net1d import Net1DConfig
from mibench.methods.selfmis import SelfMIS
from mibench.methods.siglip import SigLIPConfig, SigLIPLoss, info_nce

TINY = Net1DConfig(base_filters=16, filter_list=(16, 32), m_blocks_list=(1, 2))
TINY_BN = Net1DConfig(base_filters=16, filter_list=(16, 32), m_blocks_list=(1, 2), use_bn=True)


@pytest.fixture
def views() -> dict[str, Tensor]:
    torch.manual_seed(5)
    twelve = torch.randn(8, 12, 400).cumsum(-1) / 10
    return {"single_lead": 2 * twelve[:, :1], "twelve_lead": twelve}


@pytest.mark.parametrize("preset", ["paper_default", "literal_eq3"])
def test_a_step_lowers_the_loss_of_the_same_batch(views: dict[str, Tensor], preset: str) -> None:
    loss = SigLIPConfig(similarity="dot", scale_mode="multiply") if preset == "literal_eq3" else SigLIPConfig()
    objective = _objective(loss=loss)
    learning = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-3, weight_decay=0.1)
    before = objective(views)["loss"]
    optimizer.zero_grad()
    before.backward()
    torch.nn.utils.clip_grad_norm_(learning, 1.0)
    optimizer.step()
    assert objective(views)["loss"].item() < before.item()


def test_training_finds_the_partner_of_each_record(views: dict[str, Tensor]) -> None:
    objective = _objective()
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    first = objective(views)
    for _ in range(60):
        optimizer.zero_grad()
        last = objective(views)
        last["loss"].backward()
        optimizer.step()
    assert last["loss"].item() < 0.5 * first["loss"].item()
    assert last["infonce"].item() < first["infonce"].item()
    gap = {name: values["positive_cosine"] - values["negative_cosine"] for name, values in (("a", first), ("b", last))}
    assert gap["b"] > gap["a"]


def test_gradients_reach_all_of_the_student_and_none_of_the_teacher(views: dict[str, Tensor]) -> None:
    objective = _objective(loss=SigLIPConfig(learn_scale=True, bias="learn"))
    objective(views)["loss"].backward()
    for name, parameter in objective.named_parameters():
        learns = not name.startswith("twelve_lead.") and "bn" not in name
        assert parameter.requires_grad is learns, name
        assert (parameter.grad is not None and bool(parameter.grad.any())) is learns, name


def test_no_gradient_flows_into_the_teacher_even_where_its_weights_would_take_one(views: dict[str, Tensor]) -> None:
    objective = _objective()
    objective.twelve_lead.requires_grad_(True)
    student, teacher = objective.learn(views), objective.teach(views["twelve_lead"])
    assert (student.requires_grad, teacher.requires_grad) == (True, False)


def test_a_step_changes_nothing_of_the_teacher(views: dict[str, Tensor]) -> None:
    objective = _objective(TINY_BN).train()
    before = copy.deepcopy(objective.state_dict())
    # Every parameter, as a careless optimiser would take them, decay and all.
    optimizer = torch.optim.AdamW(objective.parameters(), lr=0.1, weight_decay=0.5)
    objective(views)["loss"].backward()
    optimizer.step()
    after = objective.state_dict()
    assert not torch.equal(after["single_lead.first_bn.running_mean"], before["single_lead.first_bn.running_mean"])
    for name, tensor in before.items():
        if name.startswith("twelve_lead."):
            assert torch.equal(after[name], tensor), name


def test_m_mode_train_updates_batch_statistics_but_no_weight(views: dict[str, Tensor]) -> None:
    objective = _objective(TINY_BN, m_mode="train").train()
    before = copy.deepcopy(objective.twelve_lead.state_dict())
    objective(views)["loss"].backward()
    changed = {
        name for name, tensor in objective.twelve_lead.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert "first_bn.running_mean" in changed
    assert all(name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked") for name in changed)
    objective.eval()
    assert not objective.twelve_lead.training


def test_the_teacher_stays_in_evaluation_mode() -> None:
    objective = _objective()
    for module in (objective, objective.train(), objective.eval(), objective.train(True)):
        assert module is objective
        assert not any(part.training for part in objective.twelve_lead.modules())
    assert all(part.training for part in objective.single_lead.modules())


def test_from_12lead_sees_lead_i_as_it_stands_in_the_twelve(views: dict[str, Tensor]) -> None:
    own, inside = _objective(), _objective(s_norm="from_12lead")
    inside.load_state_dict(own.state_dict())
    scaled = own.learn(views)
    same = own.learn({**views, "single_lead": views["twelve_lead"][:, :1]})
    given = inside.learn({"twelve_lead": views["twelve_lead"]})
    assert torch.equal(given, same)
    assert not torch.allclose(given, scaled)


@pytest.mark.parametrize("s_norm", ["own", "from_12lead"])
def test_what_the_teacher_said_stands_for_its_view(views: dict[str, Tensor], s_norm: str) -> None:
    objective = _objective(loss=SigLIPConfig(learn_scale=True, bias="learn"), s_norm=s_norm)
    given = {name: views[name] for name in objective.student_views} | {"targets": objective.teach(views["twelve_lead"])}
    plain, told, placed = objective(views), objective(given), objective(given | {"places": torch.arange(8)})
    assert told.keys() == plain.keys()
    for name, value in plain.items():
        assert torch.equal(told[name], value), name
        if "cosine" not in name:  # which are summed in another order
            assert torch.equal(placed[name], value), name


def test_parts_one_after_another_equal_the_whole_batch(views: dict[str, Tensor]) -> None:
    """As gradients are accumulated: each part against the targets of all, its loss divided by the number of parts."""
    found = []
    for parts in (1, 4):
        objective = _objective(loss=SigLIPConfig(learn_scale=True, bias="learn")).double()
        targets = objective.teach(views["twelve_lead"].double())
        total = torch.zeros((), dtype=torch.float64)
        for rows in torch.arange(8).chunk(parts):
            own = views["single_lead"][rows].double()
            loss = objective({"single_lead": own, "targets": targets, "places": rows})["loss"] / parts
            loss.backward()
            total += loss.detach()
        found.append([total, *(p.grad for p in objective.parameters() if p.requires_grad)])
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-10)


def test_a_teacher_is_frozen_unless_it_draws_or_counts_when_asked() -> None:
    dropping = dataclasses.replace(TINY, use_do=True)
    assert [_objective(net).frozen for net in (TINY, TINY_BN, dropping)] == [True, True, True]
    assert [_objective(net, m_mode="train").frozen for net in (TINY, TINY_BN, dropping)] == [True, False, False]


def test_what_is_logged(views: dict[str, Tensor]) -> None:
    objective = _objective(loss=SigLIPConfig(reduction="mean"))
    values = objective(views)
    student, teacher = objective.learn(views), objective.teach(views["twelve_lead"])
    assert set(values) == {"loss", "siglip_sum", "siglip_mean", "infonce", "positive_cosine", "negative_cosine"}
    assert [name for name, value in values.items() if value.requires_grad] == ["loss"]
    assert all(value.ndim == 0 for value in values.values())
    expected = {
        "loss": SigLIPLoss(SigLIPConfig(reduction="mean"))(student, teacher),
        "siglip_sum": SigLIPLoss()(student, teacher),
        "siglip_mean": SigLIPLoss(SigLIPConfig(reduction="mean"))(student, teacher),
        "infonce": info_nce(student, teacher),
    }
    cosine = torch.cosine_similarity(student[:, None], teacher[None], dim=-1)
    expected["positive_cosine"] = cosine.diagonal().mean()
    expected["negative_cosine"] = cosine[~torch.eye(8, dtype=torch.bool)].mean()
    for name, value in expected.items():
        assert values[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name


def test_learned_scale_and_bias_are_logged(views: dict[str, Tensor]) -> None:
    values = _objective(loss=SigLIPConfig(learn_scale=True, bias="learn"))(views)
    assert values["scale"].item() == pytest.approx(1 / 0.07)
    assert values["bias"].item() == -10.0


def test_a_batch_of_one_has_no_strangers(views: dict[str, Tensor]) -> None:
    values = _objective()({name: view[:1] for name, view in views.items()})
    assert values["negative_cosine"].item() == pytest.approx(0.0, abs=1e-6)
    assert all(math.isfinite(value.item()) for value in values.values())


def test_the_default_is_the_paper_s_size_without_heads() -> None:
    with torch.device("meta"):
        objective = SelfMIS()
    assert sum(parameter.numel() for parameter in objective.parameters()) == 61_319_264
    assert not any("dense" in name for name in objective.state_dict())


@pytest.mark.parametrize("wrong", [{"m_mode": "frozen"}, {"s_norm": "both"}])
def test_refuses_a_mode_that_is_none(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"got '{next(iter(wrong.values()))}'"):
        SelfMIS(TINY, **wrong)  # type: ignore[arg-type]


def _objective(
    net: Net1DConfig = TINY, loss: SigLIPConfig | None = None, m_mode: str = "eval", s_norm: str = "own"
) -> SelfMIS:
    torch.manual_seed(2)
    return SelfMIS(net, loss, m_mode=m_mode, s_norm=s_norm)  # type: ignore[arg-type]
