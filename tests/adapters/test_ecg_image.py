"""Pix2Pix, CycleGAN and EKGAN behind the contract: what they are fed, their weights, and weights that are others'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from mibench import configs
from mibench.adapters.base import LEADS, Generator, Pretrainable
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.cyclegan import CycleGANAdapter, CycleGANOptions
from mibench.adapters.ecg_image import ImageAdapter
from mibench.adapters.ekgan import EKGANAdapter, EKGANOptions
from mibench.adapters.errors import MibenchError
from mibench.adapters.options import build
from mibench.adapters.pix2pix import Pix2PixAdapter, Pix2PixOptions
from mibench.adapters.registry import create, find, resolve_options
from mibench.adapters.signal import join, prepare
from mibench.benchmark.training.schedule import Settings
from mibench.methods.cyclegan import CycleGAN
from mibench.methods.nets.ecg_image import ImageConfig
from mibench.methods.pix2pix import Pix2Pix

CPU = torch.device("cpu")
TINY = ImageConfig(samples=256, width=2)
NAMES = ("pix2pix", "cyclegan", "ekgan")
BUILD: dict[str, Callable[..., ImageAdapter]] = {
    "pix2pix": lambda **given: Pix2PixAdapter(Pix2PixOptions(**{"net": TINY, **given})),
    "cyclegan": lambda **given: CycleGANAdapter(CycleGANOptions(**{"net": TINY, **given})),
    "ekgan": lambda **given: EKGANAdapter(EKGANOptions(**{"net": TINY, **given})),
}
OPTIONS: dict[str, type[Any]] = {"pix2pix": Pix2PixOptions, "cyclegan": CycleGANOptions, "ekgan": EKGANOptions}


def saved(path: Path, state: dict[str, Tensor], method: str) -> Path:
    save_weights(path, state, {"method": method})
    return path


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_of_itself(name: str) -> None:
    adapter = create(find(name))
    assert isinstance(adapter, Generator)
    assert isinstance(adapter, Pretrainable)
    spec = adapter.spec
    assert (spec.name, spec.kind, spec.leads) == (name, "generator", ("I",))
    assert (spec.sampling_rate, spec.samples, spec.normalization, spec.filter) == (500.0, 512, "none", "none")
    assert (spec.windows, spec.tail, spec.overlap) == ("tiled", "shift", 0)
    overlapping = BUILD[name](overlap=32, tail="zeros")
    (view,) = overlapping.views.values()
    assert (overlapping.spec.overlap, overlapping.spec.tail) == (32, "zeros")
    assert (view.leads, view.windows, view.tail, view.overlap) == (LEADS, "tiled", "zeros", 0)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_configuration_says_is_true(name: str) -> None:
    card = find(name)
    default = create(card)
    assert isinstance(default, ImageAdapter)
    assert build(OPTIONS[name], card.options, name) == OPTIONS[name]()
    with torch.device("meta"):
        objective = default.objective({})
    parameters = sum(parameter.numel() for parameter in objective.parameters())
    assert parameters == card.facts["pretraining_parameters"]
    tiny = create(resolve_options(card, "tiny"))
    assert isinstance(tiny, ImageAdapter)
    assert sum(parameter.numel() for parameter in tiny.objective({}).parameters()) < 200_000

    text = yaml.safe_load((Path(configs.__file__).parent / "methods" / f"{name}.yaml").read_text())
    recipe = build(Settings, text["pretraining"], name)
    assert (recipe.learning_rate, recipe.betas, recipe.schedule) == (1e-4, (0.5, 0.999), "constant")
    assert (recipe.weight_decay, recipe.clip, recipe.epochs, recipe.batch_size) == (0.0, 0.0, 10, 3)
    assert (recipe.drop_last, recipe.select) == (True, "best")
    build(Settings, {**text["pretraining"], **text["demo_pretraining"]}, name)


def test_presets_choose_the_variant() -> None:
    for name, kind in (("pix2pix", Pix2Pix), ("cyclegan", CycleGAN)):
        card, adversaries = find(name), []
        for preset in ("tiny", "faithful"):
            adapter = create(resolve_options(card, preset, {"net": {"width": 2}}))
            assert isinstance(adapter, ImageAdapter)
            objective = adapter.objective({})
            assert isinstance(objective, kind)
            adversaries.append(objective.adversary)
            assert ("faithful" in adapter.spec.title) == (preset == "faithful")
        assert adversaries[0] != "double-sigmoid"
        assert adversaries[1] == "double-sigmoid"


def test_the_weight_of_the_absolute_error_is_an_option() -> None:
    objective = Pix2PixAdapter(Pix2PixOptions(l1_weight=50.0, net=TINY)).objective({})
    assert isinstance(objective, Pix2Pix)
    assert objective.l1_weight == 50.0
    with pytest.raises(MibenchError, match="l1_weight must not be negative; got -1"):
        build(Pix2PixOptions, {"l1_weight": -1}, "method pix2pix")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_trained_is_what_is_loaded(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    adapter = BUILD[name]()
    objective = adapter.objective({})
    objective.train()({"twelve": torch.randn(2, 2, 12, 256)})
    file = saved(tmp_path / "w.safetensors", adapter.trained_state(objective), name)
    report = adapter.load(file, CPU)
    assert report.loaded == (26 if name == "cyclegan" else 42)
    lead = torch.randn(3, 1, 256)
    objective.eval()
    with torch.no_grad():
        image = torch.zeros(3, 1, 16, 256)
        image[:, 0, 2:14] = lead
        expected = objective.generator(image)[:, 0, 2:14]
    assert torch.equal(adapter.synthesize(lead), expected)
    assert adapter.synthesize(lead).shape == (3, 12, 256)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_goes_through_strip_by_strip(name: str) -> None:
    torch.manual_seed(0)
    adapter = BUILD[name]()
    adapter.load(None, CPU)
    record = torch.randn(2, 1, 1000)
    windows = prepare(record, 500.0, ("I",), adapter.spec)
    assert windows.shape == (2, 4, 1, 256)
    made = join(adapter.synthesize(windows.flatten(0, 1)).view(2, 4, 12, 256), adapter.spec, 1000)
    assert made.shape == (2, 12, 1000)
    # Millivolts as they come: the third strip is made of samples 512 to 768 and of nothing else.
    torch.testing.assert_close(made[:, :, 512:768], adapter.synthesize(record[:, :, 512:768]), rtol=1e-4, atol=1e-6)


def test_weights_of_another_method_or_size_are_refused(tmp_path: Path) -> None:
    theirs = BUILD["pix2pix"]()
    state = theirs.trained_state(theirs.objective({}))
    file = saved(tmp_path / "w.safetensors", state, "pix2pix")
    with pytest.raises(MibenchError, match="pre-trained by mibench as pix2pix, and this is ekgan: give what mibench"):
        BUILD["ekgan"]().load(file, CPU)
    wider = BUILD["pix2pix"](net=ImageConfig(samples=256, width=4))
    with pytest.raises(MibenchError, match=r"made for width 2, and this network has 4: add --set method\.net\.width=2"):
        wider.load(file, CPU)
    # Without a word of whose they are, the tensors tell.
    with pytest.raises(MibenchError, match=r"unknown dec1\.norm\.running_mean"):
        BUILD["cyclegan"]().load(saved(tmp_path / "x.safetensors", state, "cyclegan"), CPU)
    other = BUILD["cyclegan"]()
    file = saved(tmp_path / "y.safetensors", other.trained_state(other.objective({})), "pix2pix")
    with pytest.raises(MibenchError, match=r"lacks enc2\.norm\.running_mean.*expected is what mibench pretrain"):
        theirs.load(file, CPU)


def test_variants_share_their_weights(tmp_path: Path) -> None:
    fixed, faithful = BUILD["cyclegan"](), BUILD["cyclegan"](variant="faithful")
    file = saved(tmp_path / "w.safetensors", fixed.trained_state(fixed.objective({})), "cyclegan")
    faithful.load(file, CPU)
    fixed.load(file, CPU)
    lead = torch.randn(2, 1, 256)
    assert torch.equal(fixed.synthesize(lead), faithful.synthesize(lead))


def test_what_is_no_weights_file_of_it(tmp_path: Path) -> None:
    adapter = BUILD["ekgan"]()
    with pytest.raises(MibenchError, match="there is no weights file"):
        adapter.load(tmp_path / "absent.h5", CPU)
    (tmp_path / "empty.h5").touch()
    with pytest.raises(MibenchError, match="is empty"):
        adapter.load(tmp_path / "empty.h5", CPU)
    with pytest.raises(MibenchError, match="ekgan has no part decoder: it is trained from scratch"):
        adapter.objective({"decoder": tmp_path})
    with pytest.raises(TypeError, match="the objective of ekgan is an ImageTranslation; got Linear"):
        adapter.trained_state(torch.nn.Linear(1, 1))
    with pytest.raises(RuntimeError, match=r"load\(\) comes before synthesize"):
        BUILD["ekgan"]().synthesize(torch.zeros(1, 1, 256))
