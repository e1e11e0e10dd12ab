"""MCMA behind the contract: what it is fed, the published SavedModel, and the weights that belong to something else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from bundle import write_bundle
from torch import Tensor

from mibench import configs
from mibench.adapters.base import LEADS, Generator, Pretrainable
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.errors import MibenchError
from mibench.adapters.mcma import MCMAAdapter, MCMAOptions, published_layers
from mibench.adapters.registry import create, find, resolve_options
from mibench.adapters.signal import join, prepare
from mibench.adapters.tensor_bundle import DATA, INDEX
from mibench.benchmark.training.schedule import Settings
from mibench.methods.nets.mcma_net import MCMAConfig, MCMANet

CPU = torch.device("cpu")
TINY = MCMAConfig(samples=64, kernel=5, filters=(4, 6, 8))


def test_what_it_says_of_itself() -> None:
    adapter = MCMAAdapter()
    assert isinstance(adapter, Generator)
    assert isinstance(adapter, Pretrainable)
    spec = adapter.spec
    assert (spec.name, spec.kind, spec.leads) == ("mcma", "generator", ("I",))
    assert (spec.sampling_rate, spec.samples, spec.normalization, spec.filter) == (500.0, 1024, "none", "none")
    assert (spec.windows, spec.tail, spec.overlap) == ("tiled", "shift", 0)
    assert spec.pretraining_data == ("PTB-XL",)
    (view,) = adapter.views.values()
    assert (view.leads, view.windows, view.tail, view.samples) == (LEADS, "tiled", "shift", 1024)


def test_options_and_presets_are_those_of_the_adapter() -> None:
    card = find("mcma")
    default = create(card)
    assert isinstance(default, MCMAAdapter)
    assert default.options == MCMAOptions()
    chosen = {name: create(resolve_options(card, name)) for name in card.presets}
    options = {name: adapter.options for name, adapter in chosen.items() if isinstance(adapter, MCMAAdapter)}
    assert options["faithful"] == MCMAOptions(tail="repeat")
    assert options["fixed"] == MCMAOptions(variant="fixed")
    assert options["kernel5"] == MCMAOptions(net=MCMAConfig(kernel=5))
    assert options["faithful"].sampling == "frozen"
    assert options["fixed"].sampling == "per_step"
    assert MCMAOptions(variant="fixed", lead_sampling="frozen").sampling == "frozen"


def test_recipe_and_demo_are_settings() -> None:
    values = yaml.safe_load((Path(str(configs.__path__[0])) / "methods" / "mcma.yaml").read_text(encoding="utf-8"))
    recipe = {name: tuple(value) if name == "betas" else value for name, value in values["pretraining"].items()}
    settings = Settings(**recipe)
    assert (settings.epochs, settings.batch_size, settings.peak) == (100, 51, 1e-3)
    assert (settings.select, settings.patience, settings.patience_in_total) == ("best", 50, True)
    assert (settings.schedule, settings.weight_decay, settings.clip) == ("constant", 0.0, 0.0)
    Settings(**{**recipe, **values["demo_pretraining"]})


@pytest.mark.parametrize("variant", ["faithful", "fixed"])
@pytest.mark.parametrize("tail", ["shift", "repeat", "zeros"])
def test_a_record_goes_through_in_windows(variant: Any, tail: Any) -> None:
    adapter = MCMAAdapter(MCMAOptions(variant=variant, tail=tail, net=TINY))
    torch.manual_seed(0)
    adapter.load(None, CPU)
    millivolt = torch.randn(3, 1, 150)
    windows = prepare(millivolt, 500.0, ("I",), adapter.spec)
    made = adapter.synthesize(windows.flatten(0, 1))
    assert made.shape == (9, 12, 64)
    assert made.dtype == torch.float32
    assert not made.requires_grad
    joined = join(made.unflatten(0, (3, 3)), adapter.spec, 150)
    assert joined.shape == (3, 12, 150)
    assert joined.isfinite().all()


def test_nothing_is_made_before_it_is_loaded() -> None:
    with pytest.raises(RuntimeError, match="load"):
        MCMAAdapter().synthesize(torch.zeros(1, 1, 1024))


@pytest.mark.parametrize("variant", ["faithful", "fixed"])
def test_what_is_trained_is_what_is_loaded(tmp_path: Path, variant: Any) -> None:
    options = MCMAOptions(variant=variant, net=TINY)
    trainer = MCMAAdapter(options)
    torch.manual_seed(0)
    objective = trainer.objective({})
    objective({"twelve": torch.randn(2, 2, 12, 64)})["loss"].backward()
    torch.optim.AdamW(objective.parameters(), lr=1e-2).step()
    path = tmp_path / "weights.safetensors"
    save_weights(path, trainer.trained_state(objective), {"method": "mcma"})
    adapter = MCMAAdapter(options)
    report = adapter.load(path, CPU)
    assert (report.loaded, report.dropped) == (len(objective.net.state_dict()), ())
    lead = torch.randn(2, 1, 64)
    assert torch.equal(adapter.synthesize(lead), objective.eval().synthesize(lead))


@pytest.mark.parametrize("file", [DATA, INDEX])
def test_the_published_folder_is_read_from_either_file(tmp_path: Path, file: str) -> None:
    net = _net(TINY)
    write_bundle(tmp_path, _published(net) | {"save_counter/.ATTRIBUTES/VARIABLE_VALUE": np.int64(1)})
    adapter = MCMAAdapter(MCMAOptions(net=TINY))
    report = adapter.load(tmp_path / file, CPU)
    assert report.loaded == (3 + 2 * 2 + 1) * 5 * 2
    assert report.dropped == ("save_counter/.ATTRIBUTES/VARIABLE_VALUE",)
    assert adapter.model is not None
    loaded = adapter.model.net.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in net.state_dict().items())


def test_layers_are_numbered_as_keras_orders_its_graph() -> None:
    for levels in (2, 3, 6):
        assert list(published_layers(levels)) == _keras_order(levels)
    layers = _keras_order(6)
    assert len(layers) == 85
    assert layers[:5] == ["e1.b", "e1.ln", "e1.a", "e1.c", "e1.in"]
    assert layers[30:32] == ["skip5.b", "up5.b"]


def test_the_other_interleaving_does_not_fit_by_its_shapes(tmp_path: Path) -> None:
    """The two blocks of a level the other way round: transposed kernels then stand where plain ones belong."""
    swapped = [layer.replace("skip", "*").replace("up", "skip").replace("*", "up") for layer in published_layers(3)]
    write_bundle(tmp_path, _published(_net(TINY), swapped))
    with pytest.raises(MibenchError, match=r"does not fit the network: it has up\d.* in place of"):
        MCMAAdapter(MCMAOptions(net=TINY)).load(tmp_path / DATA, CPU)


@pytest.mark.parametrize("saved", ["bundle", "safetensors"])
def test_another_kernel_is_told_with_what_to_set(tmp_path: Path, saved: str) -> None:
    path = _save(tmp_path, saved, _net(TINY))
    adapter = MCMAAdapter(MCMAOptions(net=MCMAConfig(samples=64, kernel=13, filters=(4, 6, 8))))
    told = r"is made for kernel 5, and this network has 13: add --set method\.net\.kernel=5"
    with pytest.raises(MibenchError, match=told):
        adapter.load(path, CPU)
    assert adapter.model is None


@pytest.mark.parametrize("saved", ["bundle", "safetensors"])
def test_published_weights_do_not_fit_the_fixed_variant(tmp_path: Path, saved: str) -> None:
    path = _save(tmp_path, saved, _net(TINY))
    told = (
        r"is made for variant faithful, .* add --set method\.variant=faithful, or train this one with mibench pretrain"
    )
    with pytest.raises(MibenchError, match=told):
        MCMAAdapter(MCMAOptions(variant="fixed", net=TINY)).load(path, CPU)


def test_weights_of_the_fixed_variant_do_not_fit_the_published_one(tmp_path: Path) -> None:
    path = _save(tmp_path, "safetensors", MCMANet(TINY, "own"))
    with pytest.raises(MibenchError, match="is made for variant fixed"):
        MCMAAdapter(MCMAOptions(net=TINY)).load(path, CPU)


def test_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    adapter = MCMAAdapter(MCMAOptions(net=TINY))
    model = tmp_path / "saved_model.pb"
    model.write_bytes(b"graph")
    with pytest.raises(
        MibenchError, match=r"saved_model\.pb holds no weights of a SavedModel: give the file variables"
    ):
        adapter.load(model, CPU)
    save_weights(tmp_path / "w.safetensors", _net(TINY).state_dict(), {"method": "ekgan"})
    with pytest.raises(MibenchError, match=r"was pre-trained by mibench as ekgan.*pretrain --method mcma"):
        adapter.load(tmp_path / "w.safetensors", CPU)
    write_bundle(tmp_path, _published(_net(MCMAConfig(samples=64, kernel=5, filters=(4, 6)))))
    with pytest.raises(
        MibenchError, match=r"of another network: it holds 50 tensors .* with 3 levels has 80 in 40 layers"
    ):
        adapter.load(tmp_path / DATA, CPU)
    write_bundle(tmp_path, _published(_net(MCMAConfig(samples=64, kernel=5, filters=(4, 6, 10)))))
    with pytest.raises(MibenchError, match=r"it has e3\.a\.weight as 10x6x5 in place of 8x6x5"):
        adapter.load(tmp_path / DATA, CPU)


def test_a_part_to_start_from_is_refused() -> None:
    with pytest.raises(MibenchError, match="has no part encoder"):
        MCMAAdapter().objective({"encoder": Path("file.pth")})


def _net(config: MCMAConfig) -> MCMANet:
    net = MCMANet(config)
    generator = torch.Generator().manual_seed(0)
    net.load_state_dict(
        {name: torch.randn(value.shape, generator=generator) for name, value in net.state_dict().items()}
    )
    return net


def _save(folder: Path, saved: str, net: MCMANet) -> Path:
    if saved == "bundle":
        write_bundle(folder, _published(net))
        return folder / DATA
    path = folder / "weights.safetensors"
    save_weights(path, net.state_dict(), {"method": "mcma"})
    return path


def _published(net: MCMANet, layers: list[str] | None = None) -> dict[str, npt.NDArray[np.float32]]:
    """The network as Keras stores it: layers by number, kernels (time, in, out), or (time, out, in) transposed."""
    layers = layers or _keras_order(len(net.config.filters))
    state: Mapping[str, Tensor] = net.state_dict()
    variables = {}
    for number, layer in enumerate(layers):
        norm = layer.endswith(("ln", "in"))
        for ours, theirs in (("weight", "gamma" if norm else "kernel"), ("bias", "beta" if norm else "bias")):
            tensor = state[f"{layer}.{ours}"]
            array = tensor.permute(2, 1, 0) if tensor.ndim == 3 else tensor
            name = f"layer_with_weights-{number}/{theirs}/.ATTRIBUTES/VARIABLE_VALUE"
            variables[name] = np.ascontiguousarray(array.numpy())
    return variables


def _keras_order(levels: int) -> list[str]:
    """The replay of what Keras does: layers by falling distance from the output, and those of one distance in the
    order in which they are met when the graph is walked from the output back, first inputs first.
    """
    inputs: dict[str, list[str]] = {"input": []}

    def block(name: str, source: str) -> str:
        chain = {"b": source, "ln": f"{name}.b", "gelu": f"{name}.ln", "c": f"{name}.gelu", "a": source}
        inputs.update({f"{name}.{part}": [below] for part, below in chain.items()})
        inputs[f"{name}.add"] = [f"{name}.a", f"{name}.c"]
        inputs[f"{name}.in"] = [f"{name}.add"]
        return f"{name}.in"

    found = ["input"]
    for level in range(1, levels + 1):
        found.append(block(f"e{level}", found[-1]))
    last = found[-1]
    for level in range(levels - 1, 0, -1):
        inputs[f"sum{level}"] = [block(f"skip{level}", found[level]), block(f"up{level}", last)]
        last = f"sum{level}"
    output = block("head", last)

    met: dict[str, int] = {}
    finished: list[str] = []

    def walk(layer: str) -> None:
        if layer not in met:
            met[layer] = len(met)
            for below in inputs[layer]:
                walk(below)
            finished.append(layer)

    walk(output)
    depths = dict.fromkeys(finished, 0)
    for layer in reversed(finished):
        for below in inputs[layer]:
            depths[below] = max(depths[below], depths[layer] + 1)
    ordered = sorted(met, key=lambda layer: (-depths[layer], met[layer]))
    return [layer for layer in ordered if layer.rpartition(".")[2] in ("a", "b", "c", "ln", "in")]
