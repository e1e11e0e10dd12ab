"""Linear regression behind the contract: fitted to records, read back from files, and the algebra of the limb leads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mibench.adapters.base import LEADS, Fittable, Fitted, Generator
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.errors import MibenchError
from mibench.adapters.linear_anchors import FIRRidgeAdapter, FrontalPlaneAdapter, LinearLeadAdapter
from mibench.adapters.registry import create, find, resolve_options
from mibench.benchmark.bench import networks

CPU = torch.device("cpu")
NAMES = ("linear-lead", "fir-ridge", "frontal-plane")
SHORT = {"net": {"window_ms": 20}}


def made(name: str, **options: Any) -> Any:
    given = options or ({} if name == "linear-lead" else SHORT)
    return create(resolve_options(find(name), overrides=given))


def records(count: int, seed: int = 0, samples: int = 400) -> Tensor:
    """(count, 12, samples) whose leads hang together: two sources, delays, noise, and the identities of the limbs."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, 2, samples + 20, generator=generator)
    sources = torch.nn.functional.avg_pool1d(drawn, 5, 1)[..., :samples]
    first, second = sources[:, :1], 0.6 * sources[:, :1].roll(3, -1) + 0.5 * sources[:, 1:]
    limb = [first, second, second - first, -(first + second) / 2, first - second / 2, second - first / 2]
    chest = [k / 6 * first.roll(-k, -1) + 0.3 * sources[:, 1:] for k in range(1, 7)]
    return torch.cat(limb + chest, dim=1) + 0.01 * torch.randn(count, 12, samples, generator=generator)


def batches(ecg: Tensor, size: int = 4) -> Callable[[], Iterator[Tensor]]:
    return lambda: iter(ecg.split(size) if len(ecg) else ())


LEARNED, HELD_OUT = records(12), records(6, seed=1)


def fitted(adapter: Any, learned: Tensor = LEARNED, held_out: Tensor = HELD_OUT) -> Fitted:
    found = adapter.fit(batches(learned), batches(held_out), {}, CPU)
    assert isinstance(found, Fitted)
    return found


def load_fitted(adapter: Any, folder: Path) -> Any:
    save_weights(folder / "w.safetensors", fitted(adapter).state, {"method": adapter.spec.name})
    adapter.load(folder / "w.safetensors", CPU)
    return adapter


@pytest.mark.parametrize("name", NAMES)
def test_what_they_say_of_themselves(name: str) -> None:
    adapter: Any = create(find(name))
    spec = adapter.spec
    assert isinstance(adapter, Generator)
    assert isinstance(adapter, Fittable)
    assert (spec.name, spec.kind, spec.leads, spec.sees) == (name, "generator", ("I",), "observed")
    assert (spec.samples, spec.sampling_rate, spec.windows, spec.normalization) == (5000, 500.0, "whole", "none")
    assert (spec.needs_weights, spec.pretrainable, adapter.init_parts) == (True, True, ())
    adapter.load(None, CPU)
    (net,) = networks(adapter).values()
    assert sum(buffer.numel() for buffer in net.buffers()) == {"linear-lead": 11, "fir-ridge": 1111}.get(name, 707)


@pytest.mark.parametrize("name", NAMES)
def test_the_validation_loss_is_that_of_what_is_synthesized(name: str, tmp_path: Path) -> None:
    adapter = made(name)
    loss = fitted(adapter).validation_loss
    load_fitted(adapter, tmp_path)
    found = adapter.synthesize(HELD_OUT[:, :1])
    assert torch.equal(found[:, :1], HELD_OUT[:, :1])
    assert found.dtype == torch.float32
    assert loss == pytest.approx(float((found - HELD_OUT)[:, 1:].square().mean()), rel=1e-5)


def test_the_gain_is_the_covariance_over_the_variance() -> None:
    gains = fitted(made("linear-lead")).state["taps"][:, 0]
    about = (LEARNED - LEARNED.mean(-1, keepdim=True)).double()
    wanted = (about[:, 1:] * about[:, :1]).sum((0, 2)) / about[:, :1].square().sum()
    torch.testing.assert_close(gains, wanted, rtol=1e-6, atol=1e-9)


def test_more_is_explained_by_a_filter_than_by_a_gain_than_by_silence() -> None:
    silence = float(HELD_OUT[:, 1:].square().mean())
    losses = {name: fitted(made(name)).validation_loss for name in NAMES}
    assert losses["fir-ridge"] < 0.8 * losses["linear-lead"] < 0.8 * silence
    # Whose limb leads hang together, as these do, loses nothing by deriving them.
    assert losses["frontal-plane"] == pytest.approx(losses["fir-ridge"], rel=0.02)


def test_the_ridge_is_the_one_that_errs_least_on_the_validation_records() -> None:
    few, grid = records(1, seed=3, samples=60), (1e-6, 0.03, 1e3)
    losses = [fitted(made("fir-ridge", ridges=[one], **SHORT), few).validation_loss for one in grid]
    chosen = fitted(made("fir-ridge", ridges=list(grid), **SHORT), few)
    assert chosen.validation_loss == min(losses) == losses[1]
    assert chosen.notes == ("a ridge of 0.03 of the power of lead I has the smallest error on the validation fold",)
    (note,) = fitted(made("fir-ridge", ridges=[1.0, 1e3], **SHORT), few).notes
    assert note.endswith("lies at the end of method.ridges: a wider grid may find a better one")
    assert fitted(made("linear-lead")).notes == ()


ANY = st.floats(-1e3, 1e3, width=32)


@settings(max_examples=30, deadline=None)
@given(st.lists(ANY, min_size=25, max_size=60), st.integers(0, 1000))
def test_the_limb_leads_keep_their_algebra_whatever_comes(values: list[float], seed: int) -> None:
    adapter = FrontalPlaneAdapter()
    torch.manual_seed(seed)
    adapter.load(None, CPU)
    found = adapter.synthesize(torch.tensor(values)[None, None])[0].double()
    lead = dict(zip(LEADS, found, strict=True))
    first, second = lead["I"], lead["II"]
    rounding = 2e-7 * float(torch.stack([first, second]).abs().max())
    for name, wanted in (
        ("III", second - first),
        ("aVR", -(first + second) / 2),
        ("aVL", first - second / 2),
        ("aVF", second - first / 2),
    ):
        assert float((lead[name] - wanted).abs().max()) <= rounding, name


@pytest.mark.parametrize("name", NAMES)
def test_without_weights_it_is_an_anchor_of_noise(name: str) -> None:
    outputs = []
    for seed in (0, 0, 1):
        adapter = made(name)
        torch.manual_seed(seed)
        adapter.load(None, CPU)
        outputs.append(adapter.synthesize(HELD_OUT[:, :1]))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert 0.05 < float(outputs[0][:, 6:].std() / HELD_OUT[:, :1].std()) < 20


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_made_alike_in_any_batch(name: str, tmp_path: Path) -> None:
    adapter = load_fitted(made(name), tmp_path)
    together = adapter.synthesize(HELD_OUT[:, :1])
    torch.testing.assert_close(adapter.synthesize(HELD_OUT[3:4, :1]), together[3:4], rtol=1e-6, atol=1e-7)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(file, fitted(made("fir-ridge")).state, {"method": "fir-ridge"})
    with pytest.raises(MibenchError, match=r"was fitted by mibench as fir-ridge, and this is frontal-plane"):
        made("frontal-plane").load(file, CPU)
    with pytest.raises(MibenchError, match=r"taps as 11x21 in place of 11x101; expected .* filters of 101 taps"):
        FIRRidgeAdapter().load(file, CPU)
    with pytest.raises(MibenchError, match="there is no weights file"):
        LinearLeadAdapter().load(tmp_path / "none.safetensors", CPU)
    with pytest.raises(RuntimeError, match=r"load\(\) comes before synthesize"):
        FIRRidgeAdapter().synthesize(HELD_OUT[:, :1])


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_fitted_is_said(name: str) -> None:
    adapter = made(name)
    broken = LEARNED.clone()
    broken[5, 3, 7] = torch.nan
    flat = LEARNED.clone()
    flat[:, 0] = 0.1
    for learned, held_out, says in (
        (LEARNED[:0], HELD_OUT, "there are no training records"),
        (LEARNED, HELD_OUT[:0], "there are no validation records"),
        (broken, HELD_OUT, "a training record holds NaN"),
        (LEARNED, broken, "a validation record holds NaN"),
        (flat, HELD_OUT, "lead I of every training record is flat"),
    ):
        with pytest.raises(MibenchError, match=f"{name} cannot be fitted: {says}"):
            adapter.fit(batches(learned), batches(held_out), {}, CPU)
    with pytest.raises(MibenchError, match=f"{name} has no part net"):
        adapter.fit(batches(LEARNED), batches(HELD_OUT), {"net": Path("w")}, CPU)


def test_unusable_options_are_refused() -> None:
    with pytest.raises(MibenchError, match="window_ms must be 0 to 500; got 501"):
        made("fir-ridge", net={"window_ms": 501})
    for ridges in ([], [0.0, 1.0]):
        with pytest.raises(MibenchError, match="ridges must be some numbers above 0"):
            made("fir-ridge", ridges=ridges)


@pytest.mark.slow
def test_on_real_records_it_is_as_the_literature_has_it(ptb_xl_500: Path) -> None:
    """Records 1-500: silence errs by the variance that others have measured, a gain by less, a filter by less again."""
    import wfdb

    files = sorted((ptb_xl_500 / "records500" / "00000").glob("*.hea"))[:120]
    ecg = torch.from_numpy(np.stack([wfdb.rdrecord(str(file.with_suffix(""))).p_signal.T for file in files])).float()
    learned, held_out = ecg[:90], ecg[90:]
    silence = float(held_out[:, 1:].square().mean())
    gain, ridge = (fitted(made(name), learned, held_out).validation_loss for name in ("linear-lead", "fir-ridge"))
    plane = fitted(made("frontal-plane"), learned, held_out).validation_loss
    assert gain is not None
    assert ridge is not None
    assert plane is not None
    assert 0.02 < silence < 0.12
    assert ridge < gain < silence
    assert plane == pytest.approx(ridge, rel=0.05)
