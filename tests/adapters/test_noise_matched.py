"""Real leads with noise as large as another generator's error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mibench.adapters.base import LEADS, Fittable, Generator
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.errors import MibenchError
from mibench.adapters.noise_matched import NoiseMatchedAdapter, NoiseOptions
from mibench.adapters.registry import create, find

CPU = torch.device("cpu")
ECG = torch.randn(6, 12, 5000, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 0.5, 12)[:, None]

TILED = """
import torch
from mibench.adapters.base import MethodSpec

class Sign:
    \"\"\"Lead I turned over in all leads, from windows of 2 s at 250 Hz, the last of which is moved back.\"\"\"

    spec = MethodSpec(
        name="sign", kind="generator", normalization="none", windows="tiled", samples=600, sampling_rate=250.0,
        overlap=50, needs_weights=False,
    )

    def load(self, weights, device):
        assert weights is None

    def synthesize(self, lead):
        assert lead.shape[1:] == (1, 600)
        return -lead.repeat(1, 12, 1)
"""


def batches(ecg: Tensor, size: int = 4) -> Callable[[], Iterator[Tensor]]:
    return lambda: iter(ecg.split(size) if len(ecg) else ())


def noisy(**options: Any) -> NoiseMatchedAdapter:
    return NoiseMatchedAdapter(NoiseOptions(**options))


def load_fitted(adapter: NoiseMatchedAdapter, folder: Path) -> None:
    state = adapter.fit(batches(ECG), batches(ECG), {}, CPU).state
    save_weights(folder / "w.safetensors", state, {"method": adapter.spec.name})
    adapter.load(folder / "w.safetensors", CPU)


def test_what_it_says_of_itself() -> None:
    card = find("noise-matched")
    adapter = create(card)
    assert isinstance(adapter, Generator)
    assert isinstance(adapter, Fittable)
    spec = adapter.spec
    assert (spec.name, spec.sees, spec.leads, spec.windows) == ("noise-matched", "record", LEADS, "whole")
    assert (spec.needs_weights, spec.pretrainable, adapter.init_parts) == (True, True, ("like",))
    assert card.starts_from == {"like": "options.like"}


def test_the_noise_is_as_large_as_the_error_in_each_lead(tmp_path: Path) -> None:
    adapter = noisy(like="zero-mask")
    found = adapter.fit(batches(ECG), batches(ECG), {}, CPU)
    errors = ECG.double().square().mean(dim=(0, 2))
    assert found.state["deviations"][0] == 0
    torch.testing.assert_close(found.state["deviations"][1:].double() ** 2, errors[1:], rtol=1e-5, atol=0)
    assert found.validation_loss == pytest.approx(float(errors[1:].mean()), rel=1e-6)
    load_fitted(adapter, tmp_path)
    noise = adapter.synthesize(ECG) - ECG
    assert noise.dtype == torch.float32
    assert torch.equal(noise[:, 0], torch.zeros(6, 5000))
    # 30,000 samples: a variance is known to within 0.8 %.
    torch.testing.assert_close(noise[:, 1:].square().mean(dim=(0, 2)).double(), errors[1:], rtol=0.04, atol=0)
    flat = noise[0] / noise[0].std(dim=-1, keepdim=True).clamp_min(1e-9)
    assert float((flat[1:] @ flat[1:].T / 5000 - torch.eye(11)).abs().max()) < 0.08
    assert float((flat[1:, 1:] * flat[1:, :-1]).mean(dim=-1).abs().max()) < 0.08


def test_windows_of_another_rate_are_cut_and_joined(tmp_path: Path) -> None:
    (tmp_path / "sign.py").write_text(TILED)
    slow = torch.nn.functional.interpolate(torch.randn(3, 12, 25), 5000, mode="linear")
    found = noisy(like=f"{tmp_path / 'sign.py'}:Sign").fit(batches(slow), batches(slow), {}, CPU)
    wanted = (slow + slow[:, :1]).double().square().mean(dim=(0, 2))
    torch.testing.assert_close(found.state["deviations"].double() ** 2, wanted, rtol=0.02, atol=0)


def test_the_noise_of_a_record_is_its_own(tmp_path: Path) -> None:
    adapter = noisy(like="zero-mask")
    load_fitted(adapter, tmp_path)
    together = adapter.synthesize(ECG)
    torch.manual_seed(5)
    assert torch.equal(adapter.synthesize(ECG[[4, 1]]), together[[4, 1]])
    noise = together - ECG
    assert not torch.allclose(noise[0], noise[1])
    other = noisy(like="zero-mask", seed=1)
    load_fitted(other, tmp_path)
    assert not torch.allclose(other.synthesize(ECG), together)
    for odd in (torch.zeros(1, 12, 5000), torch.full((1, 12, 5000), 1e4)):
        assert bool(torch.isfinite(adapter.synthesize(odd)).all())


def test_it_starts_from_the_weights_of_the_other(tmp_path: Path) -> None:
    ridge: Any = create(find("linear-lead"))
    fit = ridge.fit(batches(ECG), batches(ECG), {}, CPU)
    file = tmp_path / "linear.safetensors"
    save_weights(file, fit.state, {"method": "linear-lead"})
    found = noisy(like="linear-lead").fit(batches(ECG), batches(ECG), {"like": file}, CPU)
    assert found.validation_loss == pytest.approx(fit.validation_loss, rel=1e-5)
    (note,) = found.notes
    assert note.endswith("microvolts rms in the missing leads, as linear-lead errs")


def test_what_it_cannot_be_like_is_said(tmp_path: Path) -> None:
    for options, says in (
        ({"like": "fir-ridge"}, r"needs the weights of fir-ridge: give them with --init like=FILE"),
        ({"like": "selfmis"}, "selfmis is no generator of twelve leads from lead I"),
        ({"like": "real-leads"}, "real-leads is no generator of twelve leads from lead I"),
        ({"like": "noise-matched"}, "cannot be as noisy as itself"),
        ({"like": "fir-rigde"}, "did you mean `fir-ridge`"),
        ({"like": "zero-mask", "like_preset": "tiny"}, "zero-mask has no preset `tiny`"),
    ):
        with pytest.raises(MibenchError, match=says):
            noisy(**options).fit(batches(ECG), batches(ECG), {}, CPU)
    with pytest.raises(MibenchError, match="has no part lke; there is like"):
        noisy().fit(batches(ECG), batches(ECG), {"lke": tmp_path}, CPU)
    with pytest.raises(ValueError, match="seed must be 0 to 4294967295"):
        noisy(seed=-1)


def test_records_that_tell_nothing_are_said() -> None:
    broken = ECG.clone()
    broken[2, 7, 9] = torch.inf
    for ecg, says in ((ECG[:0], "there are no validation records"), (broken, "zero-mask makes of it, is not finite")):
        with pytest.raises(MibenchError, match=says):
            noisy(like="zero-mask").fit(batches(ECG), batches(ecg), {}, CPU)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    adapter = noisy(like="zero-mask")
    load_fitted(adapter, tmp_path)
    with pytest.raises(MibenchError, match="holds the error of zero-mask, and the noise is to be like copy-lead"):
        noisy(like="copy-lead").load(file, CPU)
    state = adapter.fit(batches(ECG), batches(ECG), {}, CPU).state
    save_weights(file, state, {"method": "fir-ridge"})
    with pytest.raises(MibenchError, match="was made by mibench as fir-ridge, and this is noise-matched"):
        adapter.load(file, CPU)
    save_weights(file, {"deviations": torch.ones(11)}, {})
    with pytest.raises(MibenchError, match="deviations as 11 in place of 12"):
        adapter.load(file, CPU)
    with pytest.raises(RuntimeError, match=r"load\(\) comes before synthesize"):
        noisy().synthesize(ECG)
