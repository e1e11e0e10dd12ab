"""Files in every layout in which encoders of the wav2vec kind are published, and what is refused of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from mibench.adapters.base import LEADS, Encoder, MethodSpec
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.errors import MibenchError
from mibench.adapters.signal import prepare
from mibench.adapters.wav2vec import HEADS, Wav2VecAdapter, Wav2VecPreprocessing
from mibench.methods.nets.wav2vec import Wav2VecConfig, Wav2VecEncoder

CPU = torch.device("cpu")
TINY = Wav2VecConfig(conv_channels=8, width=16, layers=2, heads=4, ffn=32, position_kernel=8, position_groups=4)
MODELS = {"simclr": "ecg_transformer", "3kg": "ecg_transformer", "cmsc": "ecg_transformer", "wav2vec2": "wav2vec2"}
MODELS["wav2vec2_with_cmsc"] = "wav2vec2_cmsc"


class SimCLR(Wav2VecAdapter):
    """Without a head, as 3KG and CLOCS."""

    name, title, criteria = "simclr", "SimCLR", ("simclr",)


class CLOCS(Wav2VecAdapter):
    """Its criterion has two names."""

    name, title, criteria = "clocs", "CLOCS", ("cmsc", "clocs")


class Wav2Vec2(Wav2VecAdapter):
    """With a head."""

    name, title, criteria, heads = "wav2vec2", "Wav2Vec 2.0", ("wav2vec2",), HEADS


class W2VCMSC(Wav2VecAdapter):
    """With the same head."""

    name, title, criteria, heads = "w2v-cmsc", "W2V-CMSC", ("wav2vec2_with_cmsc",), HEADS


OWN: dict[str, type[Wav2VecAdapter]] = {
    "simclr": SimCLR,
    "cmsc": CLOCS,
    "wav2vec2": Wav2Vec2,
    "wav2vec2_with_cmsc": W2VCMSC,
}


@pytest.fixture
def net() -> Wav2VecEncoder:
    torch.manual_seed(0)
    return Wav2VecEncoder(12, TINY).eval()


@pytest.fixture
def ecg() -> Tensor:
    return torch.randn(3, 12, 400, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("weight_norm", ["new", "old"])
@pytest.mark.parametrize("criterion", list(OWN))
def test_reads_a_published_pre_training(
    tmp_path: Path, net: Wav2VecEncoder, ecg: Tensor, criterion: str, weight_norm: Literal["new", "old"]
) -> None:
    content = _pretrained(net, criterion, weight_norm=weight_norm)
    adapter = _adapter(OWN[criterion])
    report = adapter.load(_saved(tmp_path, content), CPU)
    _assert_same(adapter, net, ecg)
    head = [name for name in content["model"] if name.startswith(HEADS)]
    assert bool(head) is criterion.startswith("wav2vec2")
    assert set(report.dropped) == {*head, *content} - {"model"}
    assert (report.loaded, report.notes) == (len(net.state_dict()), ())


@pytest.mark.parametrize("weight_norm", ["new", "old"])
@pytest.mark.parametrize("adapter_type", list(OWN.values()))
def test_reads_what_was_fine_tuned(
    tmp_path: Path,
    net: Wav2VecEncoder,
    ecg: Tensor,
    adapter_type: type[Wav2VecAdapter],
    weight_norm: Literal["new", "old"],
) -> None:
    """The file holds arrays of numpy, a criterion that tells nothing, and the encoder under a prefix."""
    adapter = _adapter(adapter_type)
    report = adapter.load(_saved(tmp_path, _tuned(net, weight_norm=weight_norm)), CPU)
    _assert_same(adapter, net, ecg)
    assert {"proj.weight", "proj.bias", "extra_state"} < set(report.dropped)
    tuned, untold = report.notes
    assert "was fine-tuned for a classification" in tuned
    assert untold.endswith(f"it is taken for {adapter.name}")


def test_what_was_fine_tuned_is_told_by_the_configuration_of_its_pre_training(
    tmp_path: Path, net: Wav2VecEncoder
) -> None:
    path = _saved(tmp_path, _tuned(net, began_with="wav2vec2_with_cmsc"))
    assert len(_adapter(W2VCMSC).load(path, CPU).notes) == 1
    with pytest.raises(MibenchError, match="pre-trained by w2v-cmsc, not by simclr"):
        _adapter(SimCLR).load(path, CPU)


@pytest.mark.parametrize("criterion", [*OWN, "3kg"])
@pytest.mark.parametrize("own", list(OWN))
def test_siblings_are_told_by_the_criterion(tmp_path: Path, net: Wav2VecEncoder, criterion: str, own: str) -> None:
    """SimCLR, 3KG and CLOCS have the same tensors; so have Wav2Vec 2.0 and W2V-CMSC."""
    path, adapter = _saved(tmp_path, _pretrained(net, criterion)), _adapter(OWN[own])
    if own == criterion:
        adapter.load(path, CPU)
        return
    other = OWN[criterion].name if criterion in OWN else criterion
    with pytest.raises(MibenchError, match=rf"w\.pt was pre-trained by {other}, not by {adapter.name}: give it to"):
        adapter.load(path, CPU)
    assert adapter.net is None


@pytest.mark.parametrize(
    ("criterion", "adapter_type", "told"),
    [
        ("wav2vec2", SimCLR, "by wav2vec2, not by simclr"),
        ("wav2vec2", W2VCMSC, "by wav2vec2, not by w2v-cmsc"),
        ("cmsc", Wav2Vec2, "by simclr or 3kg or clocs, not by wav2vec2"),
    ],
)
def test_siblings_are_told_by_the_model_where_the_criterion_is_not_there(
    tmp_path: Path, net: Wav2VecEncoder, criterion: str, adapter_type: type[Wav2VecAdapter], told: str
) -> None:
    content = _pretrained(net, criterion)
    content["cfg"]["criterion"] = None
    with pytest.raises(MibenchError, match=told):
        _adapter(adapter_type).load(_saved(tmp_path, content), CPU)


def test_siblings_are_told_by_the_head_where_nothing_else_is_there(tmp_path: Path, net: Wav2VecEncoder) -> None:
    plain = _saved(tmp_path, _pretrained(net, "simclr")["model"], "plain.pt")
    headed = _saved(tmp_path, _pretrained(net, "wav2vec2")["model"], "headed.pt")
    with pytest.raises(MibenchError, match="by wav2vec2 or w2v-cmsc, not by simclr"):
        _adapter(SimCLR).load(headed, CPU)
    with pytest.raises(MibenchError, match="by simclr or 3kg or clocs, not by wav2vec2"):
        _adapter(Wav2Vec2).load(plain, CPU)
    for adapter_type, path in ((CLOCS, plain), (Wav2Vec2, headed)):
        (note,) = _adapter(adapter_type).load(path, CPU).notes
        assert note == f"nothing in the file says what it was pre-trained by; it is taken for {adapter_type.name}"


@pytest.mark.parametrize("with_head", [False, True])
def test_a_file_of_our_own_says_whose_it_is(tmp_path: Path, net: Wav2VecEncoder, ecg: Tensor, with_head: bool) -> None:
    path = tmp_path / "w.safetensors"
    state = _pretrained(net, "wav2vec2")["model"] if with_head else net.state_dict()
    save_weights(path, state, {"method": "wav2vec2", "key": "0" * 64})
    adapter = _adapter(Wav2Vec2)
    report = adapter.load(path, CPU)
    _assert_same(adapter, net, ecg)
    assert (report.loaded, report.notes) == (len(net.state_dict()), ())
    for sibling in (W2VCMSC, SimCLR):
        with pytest.raises(MibenchError, match=f"by wav2vec2, not by {sibling.name}"):
            _adapter(sibling).load(path, CPU)


def test_a_variant_takes_the_files_of_the_method_that_it_names(tmp_path: Path, net: Wav2VecEncoder) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, net.state_dict(), {"method": "mine"})
    for spec in ({"name": "mine-halves", "weights_of": "mine"}, {"name": "mine"}):
        assert SimCLR(replace(_spec(SimCLR), **spec), TINY).load(path, CPU).loaded == len(net.state_dict())
    with pytest.raises(MibenchError, match="by mine, not by simclr"):
        _adapter(SimCLR).load(path, CPU)


def test_the_other_number_of_leads(tmp_path: Path, net: Wav2VecEncoder) -> None:
    single = _saved(tmp_path, _pretrained(Wav2VecEncoder(1, TINY), "simclr"), "single.pt")
    with pytest.raises(MibenchError, match=r"single\.pt is made for one lead, and this network takes twelve leads"):
        _adapter(SimCLR).load(single, CPU)
    twelve = _saved(tmp_path, _pretrained(net, "simclr"), "twelve.pt")
    with pytest.raises(MibenchError, match=r"twelve\.pt is made for twelve leads, and this network takes one lead"):
        _adapter(SimCLR, leads=("I",)).load(twelve, CPU)


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ({"layers": 3}, "has layers 3, and this network layers 2: add --set method.net.layers=3, or"),
        ({"width": 32}, "has width 32, and this network width 16"),
        ({"ffn": 64, "layers": 1}, "has layers 1, ffn 64, and this network layers 2, ffn 32"),
        ({"heads": 8}, "has heads 8, and this network heads 4: add --set method.net.heads=8"),
        ({"conv_channels": 16}, r"does not fit the network: it has .* in place of"),
    ],
)
def test_a_network_of_another_size(tmp_path: Path, size: dict[str, int], told: str) -> None:
    path = _saved(tmp_path, _pretrained(Wav2VecEncoder(12, replace(TINY, **size)), "simclr"))
    with pytest.raises(MibenchError, match=told):
        _adapter(SimCLR).load(path, CPU)


@pytest.mark.parametrize(("setting", "value"), [("layer_norm_first", True), ("extractor_mode", "layer_norm")])
def test_a_network_that_computes_otherwise_with_the_same_tensors(
    tmp_path: Path, net: Wav2VecEncoder, setting: str, value: object
) -> None:
    content = _pretrained(net, "simclr")
    content["cfg"]["model"][setting] = value
    with pytest.raises(MibenchError, match=f"was trained with {setting}={value}, which this network cannot compute"):
        _adapter(SimCLR).load(_saved(tmp_path, content), CPU)


def test_tensors_under_other_names(tmp_path: Path, net: Wav2VecEncoder) -> None:
    content = _pretrained(net, "simclr")
    content["model"] = {name.replace("fc1", "linear1"): tensor for name, tensor in content["model"].items()}
    with pytest.raises(
        MibenchError, match=r"lacks encoder\.layers\.0\.fc1\.weight.*unknown encoder\.layers\.0\.linear1.*by simclr"
    ):
        _adapter(SimCLR).load(_saved(tmp_path, content), CPU)


def test_a_head_is_left_out_only_where_the_method_has_one(tmp_path: Path, net: Wav2VecEncoder) -> None:
    """Whatever the configuration says: what is in the file is accounted for."""
    content = _pretrained(net, "simclr")
    content["model"]["quantizer.vars"] = torch.ones(1)
    with pytest.raises(MibenchError, match=r"has the unknown quantizer\.vars"):
        _adapter(SimCLR).load(_saved(tmp_path, content), CPU)
    content = _pretrained(net, "wav2vec2")
    content["model"]["proj.weight"] = torch.ones(2, 16)
    with pytest.raises(MibenchError, match=r"has the unknown proj\.weight"):
        _adapter(Wav2Vec2).load(_saved(tmp_path, content), CPU)


def test_code_beside_the_weights_is_not_run(tmp_path: Path, net: Wav2VecEncoder) -> None:
    trace = tmp_path / "trace"
    path = _saved(tmp_path, {**_tuned(net), "criterion": _RunsCode(trace)})
    with pytest.raises(MibenchError, match=r"reading it would run (builtins|__builtin__)\.exec"):
        _adapter(W2VCMSC).load(path, CPU)
    assert not trace.exists()


def test_a_file_that_was_cut_short(tmp_path: Path, net: Wav2VecEncoder) -> None:
    path = _saved(tmp_path, _pretrained(net, "simclr"))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(MibenchError, match=r"w\.pt is cut short"):
        _adapter(SimCLR).load(path, CPU)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_tensor(tmp_path: Path, net: Wav2VecEncoder, value: float) -> None:
    content = _pretrained(net, "simclr")
    content["model"]["encoder.layers.1.fc2.weight"] = content["model"]["encoder.layers.1.fc2.weight"].clone()
    content["model"]["encoder.layers.1.fc2.weight"][0, 0] = value
    with pytest.raises(MibenchError, match=r"encoder\.layers\.1\.fc2\.weight holds NaN or infinite"):
        _adapter(SimCLR).load(_saved(tmp_path, content), CPU)


@pytest.mark.parametrize("strange", [{}, {"cfg": None}, {"cfg": {"criterion": "simclr", "model": ["x"]}}])
def test_a_configuration_of_another_kind_tells_nothing(
    tmp_path: Path, net: Wav2VecEncoder, strange: dict[str, Any]
) -> None:
    content = {"model": net.state_dict(), **strange}
    assert len(_adapter(SimCLR).load(_saved(tmp_path, content), CPU).notes) == 1


@pytest.mark.parametrize("norm", ["lead", "record", "none"])
@pytest.mark.parametrize("observed", [("I",), LEADS])
def test_lead_one_among_silent_leads_embeds_to_finite_numbers(norm: Any, observed: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    adapter = _adapter(SimCLR, norm=norm)
    adapter.load(None, CPU)
    millivolt = torch.randn(4, len(observed), 5000) * 0.2
    millivolt[0] = 0.0
    windows = prepare(millivolt, 500.0, observed, adapter.spec)
    assert windows.shape == (4, 1, 12, 5000)
    embedding = adapter.embed(windows[:, 0])
    assert (embedding.shape, embedding.dtype) == ((4, 16), torch.float32)
    assert torch.isfinite(embedding).all()
    assert not torch.allclose(embedding[1], embedding[2])


def test_embedding_is_in_full_precision_without_gradient_or_dropout(ecg: Tensor) -> None:
    adapter = _adapter(SimCLR)
    assert isinstance(adapter, Encoder)
    with pytest.raises(RuntimeError, match=r"simclr: load\(\) comes first"):
        adapter.embed(ecg)
    adapter.load(None, CPU)
    assert adapter.net is not None
    plain = adapter.embed(ecg.double())
    adapter.net.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(adapter.embed(ecg), plain)
    assert (plain.dtype, plain.requires_grad) == (torch.float32, False)


def test_random_weights_are_those_of_the_generator(ecg: Tensor) -> None:
    adapter = _adapter(SimCLR)
    embeddings = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        assert adapter.load(None, CPU).loaded == 0
        embeddings.append(adapter.embed(ecg))
    assert torch.equal(embeddings[0], embeddings[1])
    assert not torch.equal(embeddings[0], embeddings[2])
    assert adapter.encoder().training


class _RunsCode:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.trace)!r}, 'w').close()",)


def _spec(adapter_type: type[Wav2VecAdapter], leads: tuple[str, ...] = LEADS, norm: Any = "lead") -> MethodSpec:
    preprocessing = Wav2VecPreprocessing(norm=norm)
    return MethodSpec(
        name=adapter_type.name,
        title=adapter_type.title,
        leads=leads,
        normalization=preprocessing.normalization,
        filter=preprocessing.filter,
        embedding_dim=TINY.width,
    )


def _adapter(adapter_type: type[Wav2VecAdapter], leads: tuple[str, ...] = LEADS, norm: Any = "lead") -> Wav2VecAdapter:
    return adapter_type(_spec(adapter_type, leads, norm), TINY)


def _assert_same(adapter: Wav2VecAdapter, net: Wav2VecEncoder, ecg: Tensor) -> None:
    with torch.inference_mode():
        assert torch.equal(adapter.embed(ecg), net(ecg))


def _saved(folder: Path, content: object, name: str = "w.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def _pretrained(net: Wav2VecEncoder, criterion: str, *, weight_norm: Literal["new", "old"] = "new") -> dict[str, Any]:
    """A pre-training as it is published: weights, configuration, and what only a trainer needs."""
    state = _old(net.state_dict()) if weight_norm == "old" else dict(net.state_dict())
    if criterion.startswith("wav2vec2"):
        width, channels = net.config.width, net.config.conv_channels
        state |= {"mask_emb": torch.rand(width), "quantizer.vars": torch.rand(1, 6, 4)}
        shapes = {"quantizer.weight_proj": (6, channels), "project_q": (8, 8), "final_proj": (8, width)}
        for name, shape in shapes.items():
            state |= {f"{name}.weight": torch.rand(shape), f"{name}.bias": torch.rand(shape[0])}
    return {
        "args": None,
        "cfg": _config(net, criterion),
        "model": state,
        "criterion": None,
        "optimizer_history": [{"criterion_name": criterion, "optimizer_name": "adam", "num_updates": 7}],
        "task_state": {},
        "extra_state": {"previous_training_time": 1.5, "val_loss": None, "train_iterator": {"epoch": 3}},
        "last_optimizer_state": {"state": {0: {"step": 7, "exp_avg": torch.ones(3)}}, "param_groups": []},
    }


def _tuned(
    net: Wav2VecEncoder, *, weight_norm: Literal["new", "old"] = "new", began_with: str | None = None
) -> dict[str, Any]:
    """A classifier on top of the encoder, with the arrays of numpy that its metrics leave behind."""
    state = _old(net.state_dict()) if weight_norm == "old" else net.state_dict()
    content = _pretrained(net, "simclr")
    content["model"] = {f"encoder.{name}": tensor for name, tensor in state.items()}
    content["model"] |= {"proj.weight": torch.rand(5, net.config.width), "proj.bias": torch.zeros(5)}
    args = None if began_with is None else _config(net, began_with) | {"criterion": None}
    content["cfg"] = {
        "model": {"_name": "ecg_transformer_classifier", "encoder_attention_heads": 99, "args": args},
        "criterion": {"_name": "binary_cross_entropy_with_logits"},
    }
    kept = (np.linspace(0, 1, 5), np.ones((2, 3), np.float32), np.array(0.9), np.arange(4))
    content["extra_state"] |= {"metrics": {"auroc": kept, "best": np.float64(0.9)}}
    return content


def _config(net: Wav2VecEncoder, criterion: str) -> dict[str, Any]:
    return {
        "common": {"seed": 1},
        "model": {
            "_name": MODELS[criterion],
            "in_d": net.leads,
            "encoder_layers": net.config.layers,
            "encoder_embed_dim": net.config.width,
            "encoder_attention_heads": net.config.heads,
            "extractor_mode": "default",
            "layer_norm_first": False,
        },
        "criterion": {"_name": criterion},
    }


def _old(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names that weight norm had before it was a parametrisation."""
    names = {"original0": "weight_g", "original1": "weight_v"}
    return {
        f"conv_pos.pos_conv.0.{names[name.rpartition('.')[2]]}" if "parametrizations" in name else name: tensor
        for name, tensor in state.items()
    }
