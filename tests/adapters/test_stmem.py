"""ST-MEM behind the contract: what it is fed, whose files it takes, and what a pre-training hands on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from mibench import configs
from mibench.adapters.base import LEADS, Encoder, InputSpec, Pretrainable
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.errors import MibenchError
from mibench.adapters.filters import FILTERS
from mibench.adapters.registry import create, find, resolve_options
from mibench.adapters.signal import prepare, resample
from mibench.adapters.stmem import STMEMAdapter, STMEMOptions
from mibench.benchmark.costs import ptflops_macs, true_macs
from mibench.benchmark.embed import embed_signals
from mibench.benchmark.training.schedule import Settings
from mibench.methods.nets.net1d import Net1D, Net1DConfig
from mibench.methods.stmem import STMEM, STMEMConfig, STMEMEncoder

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "stmem.json").read_text())["transforms"]
NAMES = ("stmem", "stmem-12lead")
CPU = torch.device("cpu")
SIZE: dict[str, Any] = {"width": 16, "layers": 2, "heads": 2, "mlp": 24}
SIZE |= {"decoder_width": 8, "decoder_layers": 1, "decoder_heads": 2, "decoder_mlp": 12}
TINY = STMEMConfig(**SIZE)


def test_what_the_two_say_of_themselves() -> None:
    native, twelve = STMEMAdapter(), STMEMAdapter(STMEMOptions(leads="twelve"))
    assert isinstance(native, Encoder)
    assert isinstance(native, Pretrainable)
    assert (native.spec.name, twelve.spec.name) == NAMES
    assert (native.spec.leads, twelve.spec.leads) == (("I",), LEADS)
    assert (native.spec.pretrainable, twelve.spec.pretrainable) == (True, False)
    assert (native.spec.weights_of, twelve.spec.weights_of) == ("", "stmem")
    for spec in (native.spec, twelve.spec):
        assert (spec.sampling_rate, spec.samples, spec.seconds) == (250.0, 2250, 9.0)
        assert (spec.windows, spec.window_count) == ("mean-of-windows", 3)
        assert (spec.normalization, spec.filter, spec.embedding_dim) == ("zscore-record", "stmem", 768)
        assert spec.pretraining_data == ("Chapman", "Ningbo", "CODE-15")
        assert "non-commercial" in spec.license


def test_the_signal_goes_the_way_of_the_published_program() -> None:
    millivolt = torch.from_numpy(_golden_input())
    slower = resample(millivolt, 500.0, 250.0)
    assert list(slower.shape[1:]) == GOLDEN["resampled_shape"]
    assert slower[0, 0, [0, 625, 2499]].numpy() == pytest.approx(GOLDEN["resampled_lead0_at[0,625,2499]"], abs=2e-6)
    spec = STMEMAdapter(STMEMOptions(leads="twelve")).spec
    windows = prepare(millivolt, 500.0, ("I", "II"), spec)[0]
    assert list(windows[:, :2].shape) == GOLDEN["ncrop_shape"]
    at = [0, 1000, 2249]
    assert windows[1, 0, at].numpy() == pytest.approx(GOLDEN["final_crop1_lead0_at[0,1000,2249]"], abs=5e-6)
    assert windows[1, 1, at].numpy() == pytest.approx(GOLDEN["final_crop1_lead1_at[0,1000,2249]"], abs=5e-6)
    assert not windows[:, 2:].any()


def test_windows_start_where_the_published_ones_do() -> None:
    millivolt = torch.arange(2500.0).expand(1, 1, -1)
    spec = STMEMAdapter(STMEMOptions(filter="none", normalization="none")).spec
    assert prepare(millivolt, 250.0, ("I",), spec)[0, :, 0, 0].tolist() == GOLDEN["crop_starts"]


def test_lead_i_keeps_its_scale_among_silent_leads() -> None:
    millivolt = torch.randn(2, 12, 5000)
    native, twelve = (STMEMAdapter(STMEMOptions(leads=leads)).spec for leads in ("native", "twelve"))
    alone = prepare(millivolt[:, :1], 500.0, ("I",), native)
    among = prepare(millivolt[:, :1], 500.0, ("I",), twelve)
    assert torch.equal(among[:, :, :1], alone)
    assert alone.square().mean(dim=(-2, -1)).numpy() == pytest.approx(1.0, abs=1e-3)


def test_pre_training_cuts_one_window_at_random_and_treats_it_alike() -> None:
    adapter = STMEMAdapter()
    (view,) = adapter.views.values()
    assert (view.leads, view.windows, view.window_count) == (LEADS, "random-window", 1)
    assert (view.filter, view.normalization, view.samples) == ("stmem", "zscore-record", 2250)
    millivolt = torch.randn(2, 12, 2500)
    torch.manual_seed(0)
    first = prepare(millivolt, 250.0, LEADS, view)
    torch.manual_seed(0)
    start = int(torch.randint(251, (2, 1, 1))[0])
    window = InputSpec(leads=LEADS, sampling_rate=250.0, samples=2250, filter="stmem", normalization="zscore-record")
    expected = prepare(millivolt[:1, :, start : start + 2250], 250.0, LEADS, window)
    assert torch.equal(first[:1], expected)


def test_features_of_a_record_are_averaged_over_its_windows() -> None:
    adapter = _adapter("native")
    adapter.load(None, CPU)
    millivolt = np.random.default_rng(0).normal(size=(2, 1, 5000)).astype(np.float32)
    whole = embed_signals(adapter, millivolt, 500.0, ("I",), CPU)
    windows = prepare(torch.from_numpy(millivolt), 500.0, ("I",), adapter.spec)
    parts = [adapter.embed(windows[:, index]).numpy() for index in range(3)]
    assert whole.shape == (2, 16)
    assert whole == pytest.approx(np.mean(parts, axis=0), abs=1e-5)
    assert np.abs(parts[0] - parts[2]).max() > 1e-3


@pytest.mark.parametrize("leads", ["native", "twelve"])
@pytest.mark.parametrize("head", [False, True])
def test_imports_the_encoder_as_it_was_published(tmp_path: Path, leads: Any, head: bool) -> None:
    net, path = _encoder_file(tmp_path, head=head)
    adapter = _adapter(leads)
    report = adapter.load(path, CPU)
    assert report.loaded == (35 if leads == "native" else 46)
    dropped = {"epoch", "optimizer", "scaler", "config"} | ({"head.weight", "head.bias"} if head else set())
    assert set(report.dropped) == dropped | (_other_leads() if leads == "native" else set())
    _assert_embeds_like(adapter, net)


@pytest.mark.parametrize("leads", ["native", "twelve"])
def test_imports_the_whole_as_it_was_published(tmp_path: Path, leads: Any) -> None:
    model = _model()
    path = tmp_path / "st_mem_vit_base_full.pth"
    torch.save({"model": model.state_dict(), "epoch": 799}, path)
    adapter = _adapter(leads)
    report = adapter.load(path, CPU)
    outside = {name for name in model.state_dict() if not name.startswith("encoder.")}
    assert {"mask_embedding", "to_patch_embedding.1.weight", "decoder_blocks.0.attn.norm.weight"} <= outside
    others = {f"encoder.{name}" for name in _other_leads()} if leads == "native" else set()
    assert set(report.dropped) == {"epoch"} | outside | others
    _assert_embeds_like(adapter, model.encoder)


@pytest.mark.parametrize("leads", ["native", "twelve"])
def test_what_is_trained_is_what_is_loaded(tmp_path: Path, leads: Any) -> None:
    trainer = _adapter("native")
    torch.manual_seed(0)
    objective = trainer.objective({}).train()
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-2)
    objective({"twelve_lead": torch.randn(2, 12, 2250)})["loss"].backward()
    optimizer.step()
    state = trainer.trained_state(objective)
    assert state.keys() == STMEMEncoder(12, TINY).state_dict().keys()
    path = tmp_path / "weights.safetensors"
    save_weights(path, state, {"method": "stmem", "key": "0123"})

    adapter = _adapter(leads)
    report = adapter.load(path, CPU)
    assert set(report.dropped) == (_other_leads() if leads == "native" else set())
    _assert_embeds_like(adapter, objective.encoder)


def test_one_lead_is_the_encoder_of_twelve_without_the_others() -> None:
    """A single lead behind the embedding of lead I, as an author of ST-MEM advises; no silent token in the mean."""
    twelve = _model().encoder
    one = STMEMEncoder(1, TINY)
    one.load_state_dict({name: twelve.state_dict()[name] for name in one.state_dict()})
    lead = torch.randn(2, 1, 2250)
    silent = torch.cat([lead, torch.zeros(2, 11, 2250)], dim=1)
    assert (one(lead) - twelve(silent)).abs().max() > 0.01
    assert torch.equal(one.lead_embeddings[0], twelve.lead_embeddings[0])


def test_weights_of_another_method_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, _model().encoder.state_dict(), {"method": "heartlang"})
    with pytest.raises(MibenchError, match=r"was pre-trained by mibench as heartlang.*pretrain --method stmem"):
        _adapter("native").load(path, CPU)


def _without(*names: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {name: tensor for name, tensor in state.items() if name not in names}


@pytest.mark.parametrize("leads", ["native", "twelve"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without("norm.bias"), r"it lacks norm\.bias; expected is st_mem_vit_base_encoder\.pth or"),
        (_without("lead_embeddings.0"), r"it lacks lead_embeddings\.0"),
        (lambda state: {**state, "lead_embeddings.12": torch.ones(16)}, r"has the unknown lead_embeddings\.12"),
        (lambda state: {**state, "mask_embedding": torch.ones(1, 1, 8)}, "has the unknown mask_embedding"),
        (lambda state: {**state, "block2.ff.norm.bias": torch.ones(16)}, r"has the unknown block2\.ff\.norm\.bias"),
        (
            lambda state: {f"net.{name}": value for name, value in state.items()},
            r"lacks pos_emb.*unknown net\.pos",
        ),
        (lambda state: {**state, "sep_embedding": torch.full((16,), torch.nan)}, "sep_embedding holds NaN"),
    ],
)
def test_too_much_or_too_little_is_an_error_not_a_random_encoder(
    tmp_path: Path, leads: Any, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], told: str
) -> None:
    path = tmp_path / "encoder.pth"
    torch.save({"model": change(dict(_model().encoder.state_dict()))}, path)
    adapter = _adapter(leads)
    with pytest.raises(MibenchError, match=told):
        adapter.load(path, CPU)
    assert adapter.net is None


def test_a_whole_file_with_something_more_or_less(tmp_path: Path) -> None:
    path = tmp_path / "full.pth"
    state = _model().state_dict()
    torch.save({"model": {**state, "decoder_extra": torch.ones(2)}}, path)
    with pytest.raises(MibenchError, match="has the unknown decoder_extra"):
        _adapter("native").load(path, CPU)
    torch.save({"model": _without("encoder.sep_embedding")(dict(state))}, path)
    with pytest.raises(MibenchError, match=r"it lacks encoder\.sep_embedding"):
        _adapter("native").load(path, CPU)


def test_a_file_of_one_lead_does_not_serve_for_twelve(tmp_path: Path) -> None:
    path = tmp_path / "encoder.pth"
    torch.save({"model": STMEMEncoder(1, TINY).state_dict()}, path)
    with pytest.raises(MibenchError, match=r"it lacks lead_embeddings\.1, lead_embeddings\.2, .* and 8 more"):
        _adapter("twelve").load(path, CPU)


def test_another_width(tmp_path: Path) -> None:
    _, path = _encoder_file(tmp_path)
    with pytest.raises(MibenchError, match=r"has pos_embedding as 1x32x16 in place of 1x32x32.* fit the default net"):
        STMEMAdapter(STMEMOptions(net=STMEMConfig(**{**SIZE, "width": 32}))).load(path, CPU)


def test_a_file_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "1_lead_ECGFounder.pth"
    net = Net1D(1, Net1DConfig(base_filters=16, filter_list=(16,), m_blocks_list=(1,)))
    torch.save({"state_dict": net.state_dict()}, path)
    with pytest.raises(MibenchError) as caught:
        _adapter("native").load(path, CPU)
    assert str(caught.value).startswith(f"{path} does not fit the network: it lacks pos_embedding, sep_embedding")
    assert "has the unknown first_conv.conv.weight" in str(caught.value)


def test_a_file_that_is_cut_short_and_one_that_wants_to_run_code(tmp_path: Path) -> None:
    _, path = _encoder_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MibenchError, match="is cut short"):
        _adapter("native").load(path, CPU)
    torch.save({"model": _model().encoder}, path)
    with pytest.raises(MibenchError, match=r"would run mibench\.methods\.stmem\.STMEMEncoder"):
        _adapter("native").load(path, CPU)


def test_random_weights_come_from_torch_s_generator_and_embedding_from_nothing_else() -> None:
    ecg = torch.randn(3, 1, 2250, dtype=torch.float64)

    def embedding(seed: int) -> Tensor:
        adapter = _adapter("native")
        torch.manual_seed(seed)
        adapter.load(None, CPU)
        first = adapter.embed(ecg)
        assert adapter.net is not None
        adapter.net.train()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(adapter.embed(ecg), first)
        return first

    first = embedding(1)
    assert (first.dtype, first.shape, first.requires_grad) == (torch.float32, (3, 16), False)
    assert torch.equal(embedding(1), first)
    assert not torch.equal(embedding(2), first)


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"stmem: load\(\) comes first"):
        _adapter("native").embed(torch.zeros(1, 1, 2250))
    with pytest.raises(MibenchError, match=r"stmem has no part encoder: it is pre-trained from scratch"):
        _adapter("native").objective({"encoder": tmp_path})
    with pytest.raises(MibenchError, match=r"uses the weights of stmem: .*mibench pretrain --method stmem"):
        _adapter("twelve").objective({})
    with pytest.raises(TypeError, match="got Linear"):
        _adapter("native").trained_state(torch.nn.Linear(1, 1))


def test_options_reach_the_networks() -> None:
    net = STMEMConfig(**SIZE, mask_ratio=0.5, norm_pix_loss=False, checkpoint_activations=True)
    adapter = STMEMAdapter(STMEMOptions(net=net, filter="bandpass", normalization="zscore-lead", windows=2))
    assert adapter.objective({}).config == adapter.objective({}).encoder.config == net
    (view,) = adapter.views.values()
    for spec in (adapter.spec, view):
        assert (spec.filter, spec.normalization) == ("bandpass", "zscore-lead")
    assert adapter.spec.window_count == 2


@pytest.mark.parametrize("name", NAMES)
def test_yaml_says_what_the_program_does(name: str) -> None:
    adapter = create(resolve_options(find(name), None))
    assert isinstance(adapter, STMEMAdapter)
    assert adapter.spec.name == name
    assert adapter.options == STMEMOptions(leads="native" if name == "stmem" else "twelve")
    tiny = create(resolve_options(find(name), "tiny"))
    assert isinstance(tiny, STMEMAdapter)
    assert sum(parameter.numel() for parameter in STMEM(tiny.options.net).parameters()) < 100_000


def test_pre_training_is_as_the_authors_configure_it() -> None:
    settings = Settings(**_yaml("stmem")["pretraining"])
    assert settings.peak == pytest.approx(1.5e-4 * 16 / 256)
    assert (settings.epochs, settings.warmup_epochs, settings.clip) == (10, 3, 0)
    assert "pretraining" not in _yaml("stmem-12lead")


@pytest.mark.parametrize("name", NAMES)
def test_facts(name: str) -> None:
    facts, leads = _yaml(name)["facts"], 1 if name == "stmem" else 12
    with torch.device("meta"):
        net, model = STMEMEncoder(leads), STMEM()
    assert facts["parameters"] == sum(parameter.numel() for parameter in net.parameters())
    learning = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    assert facts["pretraining_parameters"] == sum(learning)
    assert facts["macs"] == true_macs(lambda: net(torch.zeros(3, leads, 2250, device="meta")))
    assert facts["paper_macs"] == 36_788_106_096, "counted in tests/methods/test_stmem.py"


def test_counting_leaves_the_network_as_it_was() -> None:
    net = STMEMEncoder(1, STMEMConfig(**SIZE, attention="plain"))
    ecg = torch.randn(1, 1, 2250)
    before = net(ecg)
    first = ptflops_macs(net, lambda: {"ecg": ecg})
    assert ptflops_macs(net, lambda: {"ecg": ecg}) == first
    assert torch.equal(net(ecg), before)


def test_the_filter_halves_both_edges_and_delays_nothing() -> None:
    rate, seconds = 250.0, np.arange(20_000) / 250
    for hertz, gain in ((0.1, 0.0), (0.67, 0.5), (5.0, 1.0), (20.0, 1.0), (40.0, 0.5), (80.0, 0.0)):
        wave = np.sin(2 * np.pi * hertz * seconds)
        middle = slice(5000, 15_000)
        passed = FILTERS["stmem"](wave, rate)[middle]
        assert passed @ wave[middle] / (wave[middle] @ wave[middle]) == pytest.approx(gain, abs=0.01), hertz
        assert passed.std() / wave[middle].std() == pytest.approx(gain, abs=0.01), hertz


def test_the_filter_on_flat_leads_and_gaps_and_what_it_refuses() -> None:
    ecg = np.random.default_rng(0).normal(size=(3, 2250))
    ecg[0] = 0.7
    ecg[1, 100:200] = np.nan
    ecg[2, 5] = np.inf
    filtered = FILTERS["stmem"](ecg, 250.0)
    assert not filtered[0].any()
    assert np.isfinite(filtered).all()
    assert filtered[1:].std() > 0.1
    with pytest.raises(MibenchError, match="not 80 Hz: choose the filter none"):
        FILTERS["stmem"](ecg, 80.0)
    with pytest.raises(MibenchError, match="more than 18 samples, not 18"):
        FILTERS["stmem"](ecg[:, :18], 250.0)
    assert FILTERS["stmem"](ecg[:, :19], 250.0).shape == (3, 19)


def _adapter(leads: Any) -> STMEMAdapter:
    return STMEMAdapter(STMEMOptions(leads=leads, net=TINY))


def _model() -> STMEM:
    torch.manual_seed(3)
    model = STMEM(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def _encoder_file(folder: Path, *, head: bool = False) -> tuple[STMEMEncoder, Path]:
    """A small encoder, and a file of it as ST-MEM's trainer writes them."""
    net = _model().encoder
    state = dict(net.state_dict())
    if head:
        state |= {"head.weight": torch.randn(3, 16), "head.bias": torch.zeros(3)}
    path = folder / "st_mem_vit_base_encoder.pth"
    content = {"model": state, "epoch": 799, "optimizer": None, "scaler": None, "config": {"mask_ratio": 0.75}}
    torch.save(content, path)
    return net, path


def _assert_embeds_like(adapter: STMEMAdapter, net: STMEMEncoder) -> None:
    """Against the encoder of twelve leads that was in the file, or what a single lead makes of its tensors."""
    leads = len(adapter.spec.leads)
    same = STMEMEncoder(leads, TINY)
    same.load_state_dict({name: net.state_dict()[name] for name in same.state_dict()})
    ecg = torch.randn(2, leads, 2250)
    with torch.inference_mode():
        assert torch.equal(adapter.embed(ecg), same.eval()(ecg))


def _other_leads() -> set[str]:
    return {f"lead_embeddings.{lead}" for lead in range(1, 12)}


def _yaml(name: str) -> dict[str, Any]:
    text = (Path(configs.__file__).parent / "methods" / f"{name}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def _golden_input() -> Any:
    lead, seconds = np.arange(2)[None, :, None], np.arange(5000)[None, None, :] / 500
    wave = np.sin(2 * np.pi * 1.2 * seconds + 0.3 * lead)
    wave = wave + 0.25 * np.sin(2 * np.pi * 7.5 * seconds + 0.11 * lead) + 0.05 * np.sin(2 * np.pi * 33 * seconds)
    return wave.astype(np.float32)
