"""SimCLR, 3KG, CLOCS, Wav2Vec 2.0 and W2V-CMSC behind the contract: what they say, learn, keep and read."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mibench.adapters.base import LEADS, Encoder, MethodCard, Pretrainable
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.errors import MibenchError
from mibench.adapters.registry import create, find, resolve_options
from mibench.adapters.signal import prepare
from mibench.adapters.wav2vec import UNCOUNTED
from mibench.adapters.wav2vec_training import Wav2VecPretraining
from mibench.benchmark.costs import ptflops_macs, true_macs
from mibench.benchmark.training.schedule import Settings
from mibench.methods.nets.wav2vec import Wav2VecConfig

NAMES = ("simclr", "3kg", "clocs", "wav2vec2", "w2v-cmsc")
PREDICTING = ("wav2vec2", "w2v-cmsc")
CPU = torch.device("cpu")
SAMPLES = 5000
TRAINED = 1600
"""Samples of what tests train on: enough for two halves with a span to hide in each, and quick."""

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES),
    ("simclr", {"augmentation": "noises"}),
    ("3kg", {"positives": "patient"}),
    ("clocs", {"rlm": True, "positives": "patient"}),
    ("clocs", {"mode": "cmlc"}),
    ("clocs", {"mode": "cmsmlc"}),
    ("wav2vec2", {"augmentation": "rlm"}),
    ("wav2vec2", {"leads": "native"}),
    ("w2v-cmsc", {"rlm": False, "positives": "patient"}),
    ("w2v-cmsc", {"rlm": False, "leads": "native"}),
]
EVERY = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=[f"{name}-{options}" for name, options in VARIANTS])
QUICK: tuple[dict[str, Any], ...] = ({}, {"mode": "cmlc"}, {"leads": "native"})
LEARNING = pytest.mark.parametrize(
    ("name", "options"),
    [pytest.param(*variant, marks=() if variant[1] in QUICK else pytest.mark.slow) for variant in VARIANTS],
    ids=[f"{name}-{options}" for name, options in VARIANTS],
)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_of_itself(name: str) -> None:
    adapter = _adapter(name, preset=None)
    assert isinstance(adapter, Encoder)
    assert isinstance(adapter, Pretrainable)
    spec = adapter.spec
    assert (spec.name, spec.leads, spec.normalization, spec.filter) == (name, LEADS, "zscore-lead", "none")
    assert (spec.sampling_rate, spec.samples, spec.windows, spec.embedding_dim) == (500.0, 5000, "whole", 768)
    assert (spec.license, spec.pretrainable, spec.title) == ("MIT", True, _card(name).title)
    view = adapter.views["record"]
    assert (view.leads, view.samples, view.normalization, view.windows) == (LEADS, 5000, "zscore-lead", "whole")
    published = {"w2v-cmsc": ("MIMIC-IV-ECG", "PhysioNet 2021", "PTB-XL")}
    assert spec.pretraining_data == published.get(name, ())
    assert bool(spec.published_weights) is (name in published)


@pytest.mark.parametrize("name", NAMES)
def test_the_yaml_spells_out_the_defaults(name: str) -> None:
    adapter = _adapter(name, preset=None)
    assert adapter.options == adapter.Options() == type(adapter)().options
    card = _card(name)
    assert set(card.options) == set(vars(adapter.options))
    assert set(card.options["net"]) == set(vars(adapter.options.net))


@pytest.mark.parametrize("name", NAMES)
def test_pretraining_is_the_published_one(name: str) -> None:
    settings = Settings(**{**_card(name).pretraining, "betas": tuple(_card(name).pretraining["betas"])})
    assert (settings.epochs, settings.batch_size, settings.learning_rate, settings.schedule) == (
        200,
        64,
        5e-5,
        "constant",
    )
    assert (settings.weight_decay, settings.betas, settings.eps, settings.clip) == (0.01, (0.9, 0.98), 1e-6, 0.0)
    assert (settings.warmup_epochs, settings.precision) == (0.0, "32-true")


@pytest.mark.parametrize("name", NAMES)
def test_facts_count_the_parameters(name: str) -> None:
    adapter, facts = _adapter(name, preset=None), _card(name).facts
    with torch.device("meta"):
        objective = adapter.build()
    assert sum(parameter.numel() for parameter in objective.encoder.parameters()) == facts["parameters"]
    assert sum(parameter.numel() for parameter in objective.parameters()) == facts["pretraining_parameters"]


def test_facts_tell_the_cost() -> None:
    adapters = [_adapter(name, preset=None) for name in NAMES]
    # One network, so one count.
    assert {(len(adapter.spec.leads), adapter.config) for adapter in adapters} == {(12, Wav2VecConfig())}
    with torch.device("meta"):
        net = adapters[0].encoder().eval()
        macs = true_macs(lambda: net(torch.zeros(1, 12, SAMPLES)))
    net.load_state_dict({name: torch.zeros(tensor.shape) for name, tensor in net.state_dict().items()}, assign=True)
    inputs = {"ecg": torch.zeros(1, 12, SAMPLES)}
    paper, _ = ptflops_macs(net, lambda: inputs, without=UNCOUNTED)
    for name in NAMES:
        facts = _card(name).facts
        assert facts["macs"] == macs
        # What a hidden token costs, and how many are, is held against the network in tests of its own.
        assert facts["paper_macs"] == (pytest.approx(18.1297e9, abs=1e5) if name in PREDICTING else paper)


@LEARNING
def test_twenty_steps_make_the_loss_of_a_batch_smaller(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    objective, batch = _adapter(name, options).objective({}).train(), _batch(name, options)
    # A higher rate than the published one, for twenty steps of a tiny network.
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    before = _loss(objective, batch)
    for step in range(20):
        torch.manual_seed(100 + step)
        optimizer.zero_grad()
        objective(batch)["loss"].backward()
        optimizer.step()
    assert _loss(objective, batch) < before - 0.01


@EVERY
def test_every_parameter_gets_a_gradient_and_every_value_is_a_finite_scalar(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    objective = _adapter(name, options).objective({}).train()
    values = objective(_batch(name, options))
    assert all(value.ndim == 0 and value.isfinite() for value in values.values())
    assert [key for key, value in values.items() if value.requires_grad] == ["loss"]
    values["loss"].backward()
    for parameter, tensor in objective.named_parameters():
        assert tensor.requires_grad, parameter
        assert tensor.grad is not None, parameter
        assert tensor.grad.isfinite().all(), parameter
        # The softmax of attention does not see a constant added to all keys.
        assert tensor.grad.any() or parameter.endswith("k_proj.bias"), parameter


@pytest.mark.parametrize("name", NAMES)
def test_frozen_convolutions_ask_for_no_gradient(name: str) -> None:
    objective = _adapter(name, {"net": {"feature_grad_mult": 0.0}}).objective({}).train()
    objective(_batch(name, {}))["loss"].backward()
    for parameter, tensor in objective.named_parameters():
        frozen = parameter.startswith("encoder.feature_extractor.")
        assert (tensor.requires_grad, tensor.grad is not None) == (not frozen, not frozen), parameter


@EVERY
def test_the_seed_decides_in_training_and_in_evaluation(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    objective, batch = _adapter(name, options).objective({}), _batch(name, options)
    state = {key: tensor.clone() for key, tensor in objective.state_dict().items()}
    for mode in (True, False):
        losses = []
        for seed in (1, 1, 2):
            objective.load_state_dict(state)
            torch.manual_seed(seed)
            with torch.no_grad():
                losses.append(objective.train(mode)(batch)["loss"].item())
        assert losses[0] == losses[1]
        # In evaluation CLOCS without silent leads has nothing left to draw.
        still = not mode and name == "clocs" and not options.get("rlm")
        assert (losses[0] == losses[2]) is still


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_goes_on_where_it_was(name: str) -> None:
    torch.manual_seed(0)
    objective, batch = _adapter(name).objective({}).train(), _batch(name, {})
    for _ in range(2):
        objective(batch)
    again = _adapter(name).objective({}).train()
    again.load_state_dict(objective.state_dict())
    losses = []
    for module in (objective, again):
        torch.manual_seed(3)
        losses.append({key: value.item() for key, value in module(batch).items()})
    assert losses[0] == losses[1]


@EVERY
def test_what_is_trained_is_what_is_loaded(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    adapter = _adapter(name, options)
    objective = adapter.objective({}).train()
    objective(_batch(name, options))["loss"].backward()
    torch.optim.AdamW(objective.parameters(), lr=1e-3).step()
    state = adapter.trained_state(objective)
    path = tmp_path / "weights.safetensors"
    save_weights(path, state, {"method": adapter.spec.name})

    fresh = _adapter(name, options)
    report = fresh.load(path, CPU)
    ecg = torch.randn(3, len(fresh.spec.leads), SAMPLES)
    with torch.inference_mode():
        assert torch.equal(fresh.embed(ecg), objective.eval().encoder(ecg))
    head = sorted(set(state) - set(objective.encoder.state_dict()))
    assert (report.loaded, sorted(report.dropped)) == (len(state) - len(head), head)
    assert len(head) == (8 if name in PREDICTING else 0)
    assert report.notes == ()


def test_files_of_siblings_are_refused(tmp_path: Path) -> None:
    files = {}
    for name in NAMES:
        adapter = _adapter(name)
        files[name] = tmp_path / f"{name}.safetensors"
        save_weights(files[name], adapter.trained_state(adapter.objective({})), {"method": name})
    for name in NAMES:
        for other in NAMES:
            if other != name:
                with pytest.raises(MibenchError, match=rf"was pre-trained by {other}, not by {name}"):
                    _adapter(name).load(files[other], CPU)


@pytest.mark.parametrize(
    ("name", "options"),
    [("clocs", {"mode": "cmlc"}), ("clocs", {"mode": "cmsmlc"}), ("wav2vec2", {"leads": "native"})],
)
def test_networks_for_one_lead_have_a_name_of_their_own(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    single, twelve = _adapter(name, options), _adapter(name)
    assert single.spec.name == (f"clocs-{options['mode']}" if name == "clocs" else "wav2vec2-1lead")
    assert single.spec.leads == ("I",)
    assert single.views["record"].leads == (LEADS if name == "clocs" else ("I",))
    path = tmp_path / "weights.pt"
    torch.save(twelve.trained_state(twelve.objective({})), path)
    with pytest.raises(MibenchError, match="made for twelve leads, and this network takes one lead"):
        single.load(path, CPU)


def test_only_the_twelve_lead_w2v_cmsc_is_published() -> None:
    spec = _adapter("w2v-cmsc", {"leads": "native", "rlm": False}).spec
    assert (spec.name, spec.published_weights, spec.pretraining_data) == ("w2v-cmsc-1lead", "", ())


@pytest.mark.parametrize("name", NAMES)
def test_lead_i_among_silent_leads_keeps_its_scale(name: str) -> None:
    torch.manual_seed(0)
    adapter = _adapter(name)
    adapter.load(None, CPU)
    fed = prepare(0.2 * torch.randn(2, 1, SAMPLES), 500.0, ("I",), adapter.spec)[:, 0]
    assert fed[:, 0].std(-1).tolist() == pytest.approx([1.0, 1.0], rel=1e-3)
    assert not fed[:, 1:].any()
    embedding = adapter.embed(fed)
    assert embedding.shape == (2, adapter.spec.embedding_dim)
    assert embedding.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_halves_are_probed_as_two_windows(name: str) -> None:
    torch.manual_seed(0)
    adapter = _adapter(name, {"probe_windows": "halves"})
    spec = adapter.spec
    assert (spec.samples, spec.windows, spec.window_count) == (2500, "mean-of-windows", 2)
    assert adapter.views["record"].samples == 5000
    record = torch.randn(2, 12, SAMPLES)
    windows = prepare(record, 500.0, LEADS, spec)
    assert windows.shape == (2, 2, 12, 2500)
    adapter.load(None, CPU)
    assert adapter.embed(windows[:, 1]).shape == (2, spec.embedding_dim)


@pytest.mark.parametrize(("norm", "wanted"), [("record", "zscore-record"), ("none", "none")])
@pytest.mark.parametrize("name", NAMES)
def test_scale_and_filter_are_the_same_in_training_and_probe(name: str, norm: str, wanted: str) -> None:
    adapter = _adapter(name, {"preprocessing": {"norm": norm, "filter": "bandpass"}})
    assert adapter.spec.normalization == adapter.views["record"].normalization == wanted
    assert adapter.spec.filter == adapter.views["record"].filter == "bandpass"


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("simclr", {"augmentation": "none"}, "`augmentation` must be one of rlm, noises"),
        ("simclr", {"noise": {"shift": "meant"}}, "`shift` must be one of as_published, scaled"),
        ("3kg", {"vcg": {"masked": 1.0}}, "masked must be at least 0 and below 1; got 1.0"),
        ("3kg", {"positives": "lead"}, "`positives` must be one of record, patient"),
        ("clocs", {"mode": "cmlc", "rlm": True}, "in mode cmlc every lead is a sequence of its own"),
        ("clocs", {"net": {"heads": 5}}, "heads 5 does not divide width 32"),
        ("wav2vec2", {"leads": "native", "augmentation": "rlm"}, "augmentation=rlm silences leads.*has only one"),
        ("wav2vec2", {"objective": {"quantizer": {"groups": 3}}}, "groups 3 does not divide width 16"),
        ("w2v-cmsc", {"leads": "native"}, "w2v-cmsc: rlm=true silences leads.*choose leads=twelve"),
        ("w2v-cmsc", {"objectives": {}}, "unknown setting `objectives`; did you mean `objective`"),
    ],
)
def test_refuses_options_that_cannot_be(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(MibenchError, match=told):
        _adapter(name, options)


@pytest.mark.parametrize(
    ("name", "preset", "changed"),
    [
        ("simclr", "noises", {"augmentation": "noises"}),
        ("clocs", "rlm", {"rlm": True}),
        ("w2v-cmsc", "no_rlm", {"rlm": False}),
    ],
)
def test_presets(name: str, preset: str, changed: dict[str, Any]) -> None:
    default, chosen = (vars(_adapter(name, preset=which).options) for which in (None, preset))
    assert {key: value for key, value in chosen.items() if default[key] != value} == changed


@pytest.mark.parametrize("name", NAMES)
def test_starts_from_nothing_and_knows_its_own_objective(name: str) -> None:
    adapter = _adapter(name)
    with pytest.raises(MibenchError, match=rf"{name} has no part encoder: it starts at random"):
        adapter.objective({"encoder": Path("some.pt")})
    with pytest.raises(TypeError, match=rf"the objective of {name} is a .*; got Linear"):
        adapter.trained_state(nn.Linear(1, 1))
    with pytest.raises(RuntimeError, match="load"):
        adapter.embed(torch.zeros(1, 12, SAMPLES))


@functools.cache
def _card(name: str) -> MethodCard:
    return find(name)


def _adapter(name: str, options: dict[str, Any] | None = None, preset: str | None = "tiny") -> Wav2VecPretraining:
    adapter = create(resolve_options(_card(name), preset, options or {}))
    assert isinstance(adapter, Wav2VecPretraining)
    return adapter


def _batch(name: str, options: dict[str, Any]) -> dict[str, Tensor]:
    """Waves whose rhythm is the patient's and whose shape is the record's, so that there is something to learn."""
    generator = torch.Generator().manual_seed(0)
    # Where every lead is a sequence, fewer records do.
    patient = torch.arange(4 if "mode" in options else 8) // 2
    seconds = torch.arange(TRAINED) / 500
    hertz = 2 + 4 * patient.view(-1, 1, 1)
    phase = 6 * torch.rand(len(patient), 12, 1, generator=generator)
    record = torch.sin(2 * torch.pi * hertz * seconds + phase)
    record = record + 0.3 * torch.randn(len(patient), 12, TRAINED, generator=generator)
    leads = 1 if options.get("leads") == "native" else 12
    return {"record": record[:, :leads], "patient": patient}


def _loss(objective: nn.Module, batch: dict[str, Tensor]) -> float:
    """Mean over a few draws, without dropout."""
    total = 0.0
    for seed in range(3):
        torch.manual_seed(seed)
        with torch.no_grad():
            total += objective.eval()(batch)["loss"].item() / 3
    objective.train()
    return total
