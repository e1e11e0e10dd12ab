"""HeartLang and its vocabulary behind the contract: what they are fed, whose files they take, what they hand on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from heartlang_figures import sentences
from scipy.signal import butter, filtfilt
from torch import Tensor, nn

from mibench import configs
from mibench.adapters.base import LEADS, Encoder, Part, Pretrainable, Tokenizer, Tokenizing
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.errors import MibenchError
from mibench.adapters.filters import FILTERS
from mibench.adapters.heartlang import HeartLangAdapter, HeartLangOptions
from mibench.adapters.heartlang_vqhbr import VQHBRAdapter, VQHBROptions
from mibench.adapters.registry import create, find, resolve_options
from mibench.benchmark.conformance import CHECKS, Bench
from mibench.benchmark.costs import true_macs
from mibench.benchmark.training.schedule import Settings
from mibench.methods.heartlang import HeartLang, MaskedLanguageConfig
from mibench.methods.nets.ecgformer import ECGFormer, ECGFormerConfig
from mibench.methods.vqhbr import VQHBR, VQHBRConfig

NAMES = ("heartlang", "heartlang-12lead", "heartlang-vqhbr")
CPU = torch.device("cpu")
SIZE: dict[str, Any] = {"words": 24, "width": 16, "heads": 2, "head_dim": 4, "mlp": 24}
NET = ECGFormerConfig(**SIZE, layers=2)
VOCABULARY = VQHBRConfig(
    **SIZE, samples_per_word=96, encoder_layers=1, decoder_layers=1, codes=10, code_dim=6, kmeans_iterations=2
)

State = dict[str, Tensor]


def test_what_the_two_say_of_themselves() -> None:
    native, twelve = HeartLangAdapter(), HeartLangAdapter(HeartLangOptions(leads="twelve"))
    for contract in (Encoder, Tokenizer, Pretrainable):
        assert isinstance(native, contract)
        assert isinstance(twelve, contract)
    assert (native.spec.name, twelve.spec.name) == NAMES[:2]
    assert (native.spec.leads, twelve.spec.leads) == (("I",), LEADS)
    assert (native.spec.pretrainable, twelve.spec.pretrainable) == (True, False)
    assert (native.spec.weights_of, twelve.spec.weights_of) == ("", "heartlang")
    assert native.init_parts == ("vqhbr",)
    for spec in (native.spec, twelve.spec):
        assert (spec.sampling_rate, spec.samples, spec.windows) == (100.0, 1000, "whole")
        assert (spec.normalization, spec.filter, spec.embedding_dim) == ("none", "heartlang", 768)
        assert (spec.license, spec.pretraining_data) == ("MIT", ("MIMIC-IV-ECG",))
        assert "PKUDigitalHealth/HeartLang" in spec.published_weights


def test_what_the_vocabulary_says_of_itself() -> None:
    adapter = VQHBRAdapter()
    for contract in (Part, Tokenizing, Pretrainable):
        assert isinstance(adapter, contract)
    assert not isinstance(adapter, Encoder)
    spec = adapter.spec
    assert (spec.name, spec.kind, spec.embedding_dim, spec.pretrainable) == ("heartlang-vqhbr", "part", None, True)
    assert adapter.init_parts == ()


def test_both_are_pre_trained_on_the_same_tokens_of_twelve_leads() -> None:
    language, vocabulary = HeartLangAdapter(), VQHBRAdapter()
    assert language.views == vocabulary.views
    assert language.tokenizer == vocabulary.tokenizer
    (view,) = language.views.values()
    assert (view.leads, view.sampling_rate, view.samples, view.filter) == (LEADS, 100.0, 1000, "heartlang")


def test_options_reach_the_spec_and_the_view() -> None:
    options = HeartLangOptions(filter="none", normalization="zscore-record", net=NET, vqhbr=VOCABULARY)
    adapter = HeartLangAdapter(options)
    assert (adapter.spec.filter, adapter.spec.normalization, adapter.spec.embedding_dim) == (
        "none",
        "zscore-record",
        16,
    )
    assert {(view.filter, view.normalization) for view in adapter.views.values()} == {("none", "zscore-record")}
    assert adapter.tokenizer["words"] == 24
    with pytest.raises(ValueError, match=r"must be those of vqhbr; got \(24, 96\) and \(256, 96\)"):
        HeartLangOptions(net=NET)


@pytest.mark.parametrize("name", NAMES)
def test_yaml_says_what_the_program_does(name: str) -> None:
    default: dict[str, Any] = {
        "heartlang": HeartLangOptions(),
        "heartlang-12lead": HeartLangOptions(leads="twelve"),
        "heartlang-vqhbr": VQHBROptions(),
    }
    adapter: Any = create(resolve_options(find(name)))
    assert adapter.spec.name == name
    assert adapter.options == default[name]


def test_the_tiny_presets_fit_each_other_and_are_tiny(tmp_path: Path) -> None:
    language, twelve, vocabulary = (create(resolve_options(find(name), "tiny")) for name in NAMES)
    assert isinstance(language, HeartLangAdapter)
    assert isinstance(twelve, HeartLangAdapter)
    assert isinstance(vocabulary, VQHBRAdapter)
    assert language.options.vqhbr == vocabulary.options.net == twelve.options.vqhbr
    assert language.options.net == twelve.options.net
    assert all(find(name).demo == "tiny" for name in NAMES)
    words = vocabulary.objective({}).train()
    words(sentences(4, 256, 96))
    save_weights(tmp_path / "words.safetensors", vocabulary.trained_state(words), {"method": "heartlang-vqhbr"})
    objective = language.objective({"vqhbr": tmp_path / "words.safetensors"})
    for module in (words, objective):
        assert sum(parameter.numel() for parameter in module.parameters()) < 100_000


def test_the_probe_of_its_authors_is_a_preset() -> None:
    adapter = create(resolve_options(find("heartlang"), "official_probe"))
    assert (adapter.spec.filter, adapter.spec.normalization) == ("none", "zscore-record")


def test_pre_training_is_as_the_authors_configure_it() -> None:
    language, vocabulary = (Settings(**_yaml(name)["pretraining"]) for name in ("heartlang", "heartlang-vqhbr"))
    rates = {(one.peak, one.final_learning_rate, one.schedule) for one in (language, vocabulary)}
    assert rates == {(5e-4, 1e-5, "cosine"), (5e-5, 1e-5, "cosine")}
    assert (language.epochs, language.batch_size, language.warmup_epochs, language.clip) == (200, 64, 5, 3.0)
    assert (vocabulary.epochs, vocabulary.batch_size, vocabulary.warmup_epochs, vocabulary.clip) == (100, 64, 10, 0)
    assert (language.betas, language.weight_decay) == ([0.9, 0.98], 0.05)
    assert (vocabulary.betas, vocabulary.weight_decay) == ([0.9, 0.99], 1e-4)
    assert find("heartlang").starts_from == {"vqhbr": "heartlang-vqhbr"}
    assert "pretraining" not in _yaml("heartlang-12lead")


@pytest.mark.parametrize("name", NAMES[:2])
def test_facts(name: str) -> None:
    facts = _yaml(name)["facts"]
    adapter: Any = create(resolve_options(find(name)))
    with torch.device("meta"):
        adapter.load(None, torch.device("meta"))
        model = HeartLang()
        tokens = {"words": torch.zeros(1, 256, 96), "leads": torch.zeros(1, 256).long()}
        tokens["seconds"] = tokens["leads"]
    assert facts["parameters"] == _count(adapter.net)
    assert facts["pretraining_parameters"] == _count(model)
    assert facts["macs"] == true_macs(lambda: adapter.net(**tokens))
    assert facts["paper_macs"] == 10_595_144_544, "counted in tests/methods/test_heartlang.py"
    assert facts["license"] == adapter.spec.license


def test_facts_of_the_vocabulary() -> None:
    facts = _yaml("heartlang-vqhbr")["facts"]
    with torch.device("meta"):
        net = VQHBR()
    assert facts["parameters"] == facts["pretraining_parameters"] == _count(net)
    assert "macs" not in facts, "nothing is embedded with it"


def test_the_filter_is_a_band_pass_of_order_five() -> None:
    ecg = np.random.default_rng(0).normal(size=(2, 1000))
    numerator, denominator = butter(5, [0.67 / 50, 40 / 50], btype="bandpass")
    assert FILTERS["heartlang"](ecg, 100.0) == pytest.approx(filtfilt(numerator, denominator, ecg), abs=1e-9)
    seconds = np.arange(10_000) / 100
    for hertz, gain in ((0.1, 0.0), (0.67, 0.5), (5.0, 1.0), (20.0, 1.0), (40.0, 0.5), (48.0, 0.0)):
        wave = np.sin(2 * np.pi * hertz * seconds)
        passed = FILTERS["heartlang"](wave, 100.0)
        assert passed[3000:7000].std() / wave[3000:7000].std() == pytest.approx(gain, abs=0.02)
    with pytest.raises(MibenchError, match="choose the filter none"):
        FILTERS["heartlang"](ecg[:, :33], 100.0)


@pytest.fixture(scope="module", params=["native", "twelve"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(_adapter(leads=request.param))


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conforms(check: Any, bench: Bench) -> None:
    check(bench)


def test_a_record_without_beats_has_finite_features() -> None:
    for pooling in ("cls", "mean"):
        adapter = _adapter(pooling=pooling)
        adapter.load(None, CPU)
        features = adapter.embed(torch.zeros(3, 1, 1000))
        assert features.shape == (3, 16)
        assert torch.isfinite(features).all()
        assert (pooling == "mean") is not bool(features.any())


def test_features_are_the_class_token_or_the_mean_over_the_words() -> None:
    tokens = sentences(3, 24, 96)
    torch.manual_seed(0)
    first = _adapter(pooling="cls")
    first.load(None, CPU)
    assert first.net is not None
    with torch.inference_mode():
        whole = first.net(**tokens)
    assert torch.equal(first.embed_tokens(tokens), whole[:, 0])
    mean = _adapter(pooling="mean")
    mean.net = first.net
    count = int((tokens["leads"][1] > 0).sum())
    assert 0 < count < 24
    assert torch.allclose(mean.embed_tokens(tokens)[1], whole[1, 1 : 1 + count].mean(dim=0), atol=1e-6)


def test_embedding_is_the_same_twice_even_if_someone_left_training_on() -> None:
    adapter = _adapter()
    adapter.load(None, CPU)
    tokens = sentences(3, 24, 96)
    first = adapter.embed_tokens(tokens)
    assert adapter.net is not None
    adapter.net.train()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(adapter.embed_tokens(tokens), first)
    assert (first.dtype, first.requires_grad) == (torch.float32, False)


def test_embedding_before_loading_is_a_mistake_of_the_program() -> None:
    with pytest.raises(RuntimeError, match="load"):
        _adapter().embed(torch.zeros(1, 1, 1000))


@pytest.mark.parametrize("leads", ["native", "twelve"])
def test_takes_the_published_language_model(tmp_path: Path, leads: Any) -> None:
    model = HeartLang(96, NET, codes=10)
    path = _published(tmp_path, dict(model.state_dict()), model)
    adapter = _adapter(leads=leads)
    report = adapter.load(path, CPU)
    assert report.loaded == len(model.state_dict()) - 2
    heads = {"lm_head.weight", "lm_head.bias"}
    assert set(report.dropped) == {"optimizer", "epoch", "args", "scaler"} | heads
    tokens = sentences(3, 24, 96)
    with torch.inference_mode():
        assert torch.equal(adapter.embed_tokens(tokens), model.eval()(**tokens)[:, 0])


def test_takes_a_classifier_with_its_two_heads(tmp_path: Path) -> None:
    net = ECGFormer(96, NET)
    state = {f"backbone.{name}": tensor for name, tensor in net.state_dict().items()}
    heads = {"backbone.lm_head.weight": torch.zeros(1024, 16), "backbone.lm_head.bias": torch.zeros(1024)}
    heads |= {"mlp_head.weight": torch.zeros(5, 16), "mlp_head.bias": torch.zeros(5)}
    adapter = _adapter()
    report = adapter.load(_published(tmp_path, state | heads, net), CPU)
    assert report.loaded == len(net.state_dict())
    assert heads.keys() < set(report.dropped)
    tokens = sentences(3, 24, 96)
    with torch.inference_mode():
        assert torch.equal(adapter.embed_tokens(tokens), net.eval()(**tokens)[:, 0])


@pytest.mark.parametrize("shape", [(1,), ()])
def test_takes_the_published_vocabulary(tmp_path: Path, shape: tuple[int, ...]) -> None:
    net = _vocabulary()
    state = dict(net.state_dict())
    state["quantize.embedding.initted"] = state["quantize.embedding.initted"].reshape(shape)
    adapter = VQHBRAdapter(VQHBROptions(net=VOCABULARY))
    report = adapter.load(_published(tmp_path, state, net), CPU)
    assert report.loaded == len(state)
    assert adapter.net is not None
    assert not adapter.net.training
    words = sentences(3, 24, 96)["words"]
    assert torch.equal(adapter.net.codes(words), net.eval().codes(words))


def _rename(state: State) -> State:
    return {name.replace("transformer.layers.0.", "transformer.layer.0."): tensor for name, tensor in state.items()}


def _without_norm(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith("norm_layer")}


def _with_nan(state: State) -> State:
    return {**state, "cls_token": torch.full_like(state["cls_token"], torch.nan)}


def _wider(_state: State) -> State:
    return dict(HeartLang(96, replace(NET, width=20), codes=10).state_dict())


def _prefixed(state: State) -> State:
    return {f"encoder.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_rename, r"it lacks transformer\.layers\.0\..*has the unknown transformer\.layer\.0\."),
        (_without_norm, r"it lacks norm_layer\.weight, norm_layer\.bias; expected is the layout of HeartLang's"),
        (_with_nan, "is damaged: cls_token holds NaN"),
        (_wider, "has mask_token as 1x1x20 in place of 1x1x16"),
        (_prefixed, r"has the unknown encoder\.mask_token"),
    ],
)
def test_refuses_what_does_not_fit(tmp_path: Path, spoil: Callable[[State], State], told: str) -> None:
    model = HeartLang(96, NET, codes=10)
    adapter = _adapter()
    with pytest.raises(MibenchError, match=told):
        adapter.load(_published(tmp_path, spoil(dict(model.state_dict())), model), CPU)
    assert adapter.net is None


def test_the_vocabulary_refuses_another_width_and_a_key_too_much(tmp_path: Path) -> None:
    net = _vocabulary()
    adapter = VQHBRAdapter(VQHBROptions(net=replace(VOCABULARY, code_dim=7)))
    with pytest.raises(
        MibenchError, match=r"quantize\.embedding\.weight as 10x6 in place of 10x7|decoder\.token_embed"
    ):
        adapter.load(_published(tmp_path, dict(net.state_dict()), net), CPU)
    state = {**net.state_dict(), "extra": torch.zeros(1)}
    with pytest.raises(MibenchError, match="has the unknown extra"):
        VQHBRAdapter(VQHBROptions(net=VOCABULARY)).load(_published(tmp_path, state, net), CPU)


def test_siblings_are_told_apart(tmp_path: Path) -> None:
    language, vocabulary = HeartLang(96, NET, codes=10), _vocabulary()
    speaking = _published(tmp_path, dict(language.state_dict()), language, "language.pth")
    naming = _published(tmp_path, dict(vocabulary.state_dict()), vocabulary, "words.pth")
    tuned = {f"backbone.{name}": tensor for name, tensor in language.state_dict().items()}
    probing = _published(tmp_path, tuned, language, "classifier.pth")
    with pytest.raises(MibenchError, match=r"words\.pth is VQ-HBR, the vocabulary, .*checkpoint-200\.pth"):
        _adapter().load(naming, CPU)
    for path in (speaking, probing):
        with pytest.raises(MibenchError, match=r"is HeartLang's language model, .*checkpoint-100\.pth"):
            VQHBRAdapter(VQHBROptions(net=VOCABULARY)).load(path, CPU)
    with pytest.raises(MibenchError, match="is HeartLang's language model"):
        _adapter().objective({"vqhbr": speaking})


def test_files_of_other_methods_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"weight": torch.zeros(2)}, {"method": "simclr"})
    with pytest.raises(MibenchError, match="was pre-trained by mibench as simclr, and this is heartlang:"):
        _adapter().load(path, CPU)
    with pytest.raises(MibenchError, match="as simclr, and this is heartlang-vqhbr:"):
        VQHBRAdapter(VQHBROptions(net=VOCABULARY)).load(path, CPU)


def test_a_codebook_that_was_never_set_names_nothing(tmp_path: Path) -> None:
    path = tmp_path / "words.safetensors"
    save_weights(path, dict(VQHBR(VOCABULARY).state_dict()), {"method": "heartlang-vqhbr"})
    for load in (
        lambda: VQHBRAdapter(VQHBROptions(net=VOCABULARY)).load(path, CPU),
        lambda: _adapter().objective({"vqhbr": path}),
    ):
        with pytest.raises(MibenchError, match="codebook that was never set: pre-train it, with mibench pretrain"):
            load()


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "evil.pth"
    torch.save({"model": HeartLang(96, NET, codes=10).state_dict(), "args": Payload()}, path)
    for load in (_adapter().load, VQHBRAdapter(VQHBROptions(net=VOCABULARY)).load):
        with pytest.raises(MibenchError, match=r"would run posix\.mkdir"):
            load(path, CPU)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    model = HeartLang(96, NET, codes=10)
    path = _published(tmp_path, dict(model.state_dict()), model)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MibenchError, match="is cut short"):
        _adapter().load(path, CPU)


def test_random_weights_come_from_torch_s_generator() -> None:
    tokens = sentences(2, 24, 96)

    def embedding(seed: int) -> Tensor:
        adapter = _adapter()
        torch.manual_seed(seed)
        adapter.load(None, CPU)
        return adapter.embed_tokens(tokens)

    assert torch.equal(embedding(1), embedding(1))
    assert not torch.equal(embedding(1), embedding(2))


def test_pre_training_asks_for_the_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match=r"pretrain --method heartlang-vqhbr, then add --init vqhbr=FILE"):
        _adapter().objective({})
    with pytest.raises(MibenchError, match="heartlang has no part teacher; it has vqhbr"):
        _adapter().objective({"teacher": tmp_path})
    with pytest.raises(MibenchError, match="uses the weights of heartlang: pre-train that"):
        _adapter(leads="twelve").objective({})
    with pytest.raises(MibenchError, match="heartlang-vqhbr has no part vqhbr"):
        VQHBRAdapter(VQHBROptions(net=VOCABULARY)).objective({"vqhbr": tmp_path})


def test_both_stages_one_after_the_other(tmp_path: Path) -> None:
    batch = {**sentences(6, 24, 96), "patient": torch.arange(6)}
    naming = VQHBRAdapter(VQHBROptions(net=VOCABULARY))
    words = naming.objective({}).train()
    _steps(words, batch)
    save_weights(tmp_path / "words.safetensors", naming.trained_state(words), {"method": "heartlang-vqhbr"})
    naming.load(tmp_path / "words.safetensors", CPU)
    assert naming.net is not None
    state = naming.net.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in words.state_dict().items())

    speaking = _adapter()
    objective = speaking.objective({"vqhbr": tmp_path / "words.safetensors"})
    assert speaking.init_reports["vqhbr"].loaded == len(state)
    _steps(objective.train(), batch)
    after = objective.vocabulary.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in state.items()), "the vocabulary is frozen"

    trained = speaking.trained_state(objective)
    assert trained.keys() == HeartLang(96, NET, codes=10).state_dict().keys()
    save_weights(tmp_path / "language.safetensors", trained, {"method": "heartlang"})
    with torch.inference_mode():
        expected = objective.eval().model(**{name: batch[name] for name in ("words", "leads", "seconds")})[:, 0]
    for leads in ("native", "twelve"):
        adapter = _adapter(leads=leads)
        assert set(adapter.load(tmp_path / "language.safetensors", CPU).dropped) == {"lm_head.weight", "lm_head.bias"}
        assert torch.equal(adapter.embed_tokens(batch), expected)


def test_switches_reach_the_objective(tmp_path: Path) -> None:
    save_weights(tmp_path / "words.safetensors", dict(_vocabulary().state_dict()), {"method": "heartlang-vqhbr"})
    masking = MaskedLanguageConfig(mask_ratio=0.25, mask_padding=False, targets_with_position=True)
    adapter = HeartLangAdapter(HeartLangOptions(net=NET, vqhbr=VOCABULARY, masking=masking))
    objective = adapter.objective({"vqhbr": tmp_path / "words.safetensors"})
    assert objective.config == masking
    assert objective.model.config == NET
    assert not any(parameter.requires_grad for parameter in objective.vocabulary.parameters())


def test_the_objective_of_something_else_has_no_trained_state() -> None:
    for adapter in (_adapter(), VQHBRAdapter(VQHBROptions(net=VOCABULARY))):
        with pytest.raises(TypeError, match="got Linear"):
            adapter.trained_state(nn.Linear(1, 1))


def _adapter(leads: Any = "native", pooling: Any = "cls") -> HeartLangAdapter:
    return HeartLangAdapter(HeartLangOptions(leads=leads, pooling=pooling, net=NET, vqhbr=VOCABULARY))


def _vocabulary() -> VQHBR:
    """A vocabulary that has seen a batch."""
    torch.manual_seed(0)
    net = VQHBR(VOCABULARY).train()
    net(sentences(4, 24, 96))
    return net


def _published(folder: Path, state: State, module: nn.Module, name: str = "checkpoint-200.pth") -> Path:
    """A file as the authors' trainer writes them."""
    content = {
        "model": state,
        "optimizer": torch.optim.AdamW(module.parameters()).state_dict(),
        "epoch": 199,
        "args": argparse.Namespace(model="HeartLang_base", batch_size=64, opt_betas=[0.9, 0.98]),
        "scaler": {"scale": 65536.0, "_growth_tracker": 12},
    }
    torch.save(content, folder / name)
    return folder / name


def _steps(objective: nn.Module, batch: Mapping[str, Tensor]) -> None:
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        objective(batch)["loss"].backward()
        optimizer.step()


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _yaml(name: str) -> dict[str, Any]:
    path = Path(str(configs.__file__)).parent / "methods" / f"{name}.yaml"
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values
