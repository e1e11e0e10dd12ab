"""Real leads with white noise of the size of another generator's error: is it the size that hurts, or the structure?"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from . import registry
from .base import LEADS, Batches, Fitted, Generator, LoadReport, MethodSpec
from .checkpoints import load_into, read_metadata, read_weights
from .errors import MibenchError
from .signal import join, prepare, resample

NAME = "noise-matched"
LIKE = "like"
SEEDS = 2**32


@dataclass(frozen=True)
class NoiseOptions:
    """Whose error the noise is as large as.

    Attributes:
        like: name or plug-in path of a generator that sees lead I alone.
        like_preset: its preset; empty for none.
        seed: of the noise; the same record has the same noise with the same seed, wherever and with whom it is.
    """

    like: str = "fir-ridge"
    like_preset: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEEDS:
            raise ValueError(f"seed must be 0 to {SEEDS - 1}; got {self.seed}")

    @property
    def source(self) -> str:
        """The generator in one word, as a weights file keeps it."""
        return f"{self.like} {self.like_preset}".strip()


class NoiseMatchedAdapter:
    """The record itself, each lead with noise of the variance of the other generator's mean squared error."""

    Options = NoiseOptions
    init_parts = (LIKE,)

    def __init__(self, options: NoiseOptions | None = None) -> None:
        self.options = options or NoiseOptions()
        self.net: Deviations | None = None
        self.spec = MethodSpec(
            name=NAME,
            kind="generator",
            title="Noise matched",
            leads=LEADS,
            normalization="none",
            pretrainable=True,
            sees="record",
        )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """The deviations that `mibench pretrain` found, or, for None, any up to 1 mV.

        Raises:
            MibenchError: the file is no weights file, of another method, or of the noise of another generator.
        """
        net = Deviations()
        report = LoadReport() if weights is None else self._read(net, weights)
        self.net = net.to(device).eval()
        return report

    def synthesize(self, lead: Tensor) -> Tensor:
        """(batch, 12, samples) mV of the record itself -> the same with noise, float32."""
        if self.net is None:
            raise RuntimeError(f"{NAME}: load() comes before synthesize()")
        record = lead.float()
        noise = torch.stack([self._draw(entry) for entry in record.cpu()]).to(record.device)
        with torch.inference_mode():
            return record + self.net.deviations[:, None] * noise

    def fit(self, training: Batches, validation: Batches, init: Mapping[str, Path], device: torch.device) -> Fitted:
        """Let the other generator make the validation records, and keep how far it is off in each lead.

        The training records are left alone. `init["like"]` is the weights file of the other generator, where it needs
        one.

        Raises:
            MibenchError: the other one is no generator, sees more than lead I, or lacks its weights; there are no
                validation records, or what it makes of them is not finite.
        """
        if unknown := sorted(init.keys() - {LIKE}):
            raise MibenchError(f"{NAME} has no part {', '.join(unknown)}; there is {LIKE}")
        other = self._other(init.get(LIKE), device)
        total = torch.zeros(len(LEADS), dtype=torch.float64, device=device)
        count = 0
        for ecg in validation():
            made = _whole_records(other, ecg[:, :1], self.spec.sampling_rate)
            total += (made - ecg).double().square().sum(dim=(0, 2))
            count += ecg.shape[0] * ecg.shape[2]
        if not count:
            raise MibenchError(f"{NAME} cannot be fitted: there are no validation records; check the data's folds")
        errors = total / count
        if not bool(torch.isfinite(errors).all()):
            raise MibenchError(
                f"{NAME} cannot be fitted: a validation record, or what {self.options.like} makes of it, is not "
                f"finite; leave the record out of the data, or look into the generator"
            )
        missing = float(errors[1:].mean())
        note = f"noise of {1000 * missing**0.5:.0f} microvolts rms in the missing leads, as {self.options.source} errs"
        state = {"deviations": errors.sqrt().float(), "like": _as_numbers(self.options.source)}
        return Fitted(state=state, notes=(note,), validation_loss=missing)

    def _other(self, weights: Path | None, device: torch.device) -> Generator:
        like = self.options.like
        if like == NAME:
            raise MibenchError(f"{NAME} cannot be as noisy as itself: choose another generator with --set method.like")
        card = registry.resolve_options(registry.find(like), self.options.like_preset or None)
        other = registry.create(card)
        if not isinstance(other, Generator) or other.spec.sees != "observed":
            raise MibenchError(
                f"{NAME}: {like} is no generator of twelve leads from lead I: choose one with --set method.like"
            )
        if weights is None and other.spec.needs_weights:
            raise MibenchError(
                f"{NAME} needs the weights of {like}: give them with --init {LIKE}=FILE, as mibench pretrain "
                f"--method {like} writes them"
            )
        other.load(weights, device)
        return other

    def _draw(self, record: Tensor) -> Tensor:
        """Noise of variance 1 that is a function of the record and the seed alone."""
        content = record.contiguous().numpy().tobytes()
        generator = torch.Generator().manual_seed(zlib.crc32(content, self.options.seed))
        return torch.randn(record.shape, generator=generator)

    def _read(self, net: Deviations, path: Path) -> LoadReport:
        state, _ = read_weights(path)
        command = f"mibench pretrain --method {NAME} --set method.like={self.options.like}"
        method = read_metadata(path).get("method", NAME)
        if method != NAME:
            raise MibenchError(f"{path} was made by mibench as {method}, and this is {NAME}: give what {command} wrote")
        source = _as_text(state.pop("like", None))
        if source and source != self.options.source:
            raise MibenchError(
                f"{path} holds the error of {source}, and the noise is to be like {self.options.source}: give what "
                f"{command} wrote"
            )
        return load_into(net, state, source=path, expected=f"what {command} wrote")


class Deviations(nn.Module):
    """The standard deviation of the noise of each lead, (12,) in mV."""

    deviations: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("deviations", torch.rand(len(LEADS)))


def _whole_records(generator: Generator, lead: Tensor, rate: float) -> Tensor:
    """(batch, 1, samples) mV at `rate` Hz -> (batch, 12, samples), windows cut and put together as in a run."""
    spec = generator.spec
    windows = prepare(lead, rate, LEADS[:1], spec)
    with torch.inference_mode():
        made = generator.synthesize(windows.flatten(0, 1)).float()
    made = made.view(*windows.shape[:2], len(LEADS), spec.samples)
    length = round(lead.shape[-1] * spec.sampling_rate / rate)
    whole = join(made, spec, length) if spec.windows == "tiled" else made[:, 0]
    return resample(whole, spec.sampling_rate, rate)


def _as_numbers(text: str) -> Tensor:
    """A weights file holds tensors only."""
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def _as_text(numbers: Tensor | None) -> str:
    return "" if numbers is None else bytes(numbers.tolist()).decode(errors="replace")
