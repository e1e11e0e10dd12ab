"""What each conformance check looks at; `benchmark.conformance` lists and runs them.

The first line of each docstring is what holds when the check passes. Each raises `NonconformingError` or
`NotApplicable`, or returns.
"""

from __future__ import annotations

import json
import unittest
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import torch

from ..adapters.base import Fittable, LoadReport, MethodSpec, Pretrainable, Tokenizer
from ..adapters.errors import MibenchError
from ..adapters.options import build, plain
from .bench import RECORDS, Array, Bench, PeakMemory, fingerprint, networks, running_modules
from .ecg import LEADS

SAME = 1e-5
"""Two passes of one network over one batch may differ by this share of the largest number: the order of sums."""

ALIKE = 1e-3
"""Batches of other sizes take other kernels; dropout or a batch norm in training mode differ by far more."""

ACROSS_DEVICES = 2e-2
"""A GPU computes convolutions in TF32 unless it is told otherwise."""

FEW = 8
"""Records of the smaller batch whose memory is measured."""

GROWTH = 1.25
"""Memory may grow by this much more than the batch does."""


class NonconformingError(MibenchError):
    """A check failed; says what is wrong and how it is mended."""


class NotApplicable(unittest.SkipTest):
    """The check has nothing to look at in this method; pytest and unittest count it as skipped."""


def spec(bench: Bench) -> None:
    """The spec is complete, hashable and can be written down."""
    found = bench.adapter.spec
    if not isinstance(found, MethodSpec):
        fail(bench, f"spec is a {type(found).__name__}: make it a mibench.adapters.base.MethodSpec")
    try:
        hash(found)
        json.dumps(found.identity())
    except TypeError as problem:
        fail(bench, f"spec cannot be hashed or written down ({problem}): give its leads as a tuple, the rest plainly")
    dimension = found.embedding_dim
    if found.kind == "encoder" and (not isinstance(dimension, int) or dimension < 1):
        fail(bench, f"spec.embedding_dim is {dimension}: say how many features embed() gives")
    fitting = {"generator": ("whole", "tiled")}.get(found.kind, ("whole", "mean-of-windows"))
    if found.windows not in fitting:
        why = {
            "random-window": "which is for training",
            "tiled": "of which nothing can be joined but synthetic ECGs",
            "mean-of-windows": "and ECGs of different windows have no mean",
        }[found.windows]
        fail(bench, f'spec.windows is "{found.windows}", {why}: choose "{fitting[0]}" or "{fitting[1]}"')
    if found.pretrainable and not isinstance(bench.adapter, (Pretrainable, Fittable)):
        fail(
            bench,
            "spec.pretrainable is set, but init_parts, views, objective() or trained_state() is not there, nor fit()",
        )


def options(bench: Bench) -> None:
    """Options survive being written down and read again, and decide the spec."""
    adapter: Any = bench.adapter
    cls = getattr(type(adapter), "Options", None)
    if cls is None:
        raise NotApplicable("the method has no options")
    own = getattr(adapter, "options", None)
    for given in (cls(), own) if isinstance(own, cls) else (cls(),):
        written = plain(given)
        try:
            read = build(cls, json.loads(json.dumps(written)), f"method {adapter.spec.name}")
        except (TypeError, ValueError) as problem:
            fail(bench, f"its options cannot be written as JSON ({problem}): keep them to numbers, texts and tuples")
        if read != given:
            fail(bench, f"its options come back from {written} as {read}: make them a dataclass of plain values")
    if isinstance(own, cls) and type(adapter)(own).spec != adapter.spec:
        fail(bench, "the same options give another spec the second time: let nothing but the options decide it")


def load(bench: Bench) -> None:
    """Weights load, load() says what it found, and the spec stays as it was."""
    before = bench.adapter.spec
    bench.load()
    if not isinstance(bench.report, LoadReport):
        fail(bench, f"load() returned a {type(bench.report).__name__}: return a LoadReport, or nothing")
    if bench.adapter.spec != before:
        fail(bench, "spec is another one after load(): make it once, in __init__ or in the class, out of the options")


def shape(bench: Bench) -> None:
    """embed() gives (batch, embedding_dim), synthesize() (batch, 12, samples)."""
    about = bench.adapter.spec
    encoder = about.kind == "encoder"
    call = "embed()" if encoder else "synthesize()"
    for batch in (1, 3):
        signal = bench.prepared(bench.observed(slice(batch)))
        output = bench.raw(signal)
        wanted = (len(signal), about.embedding_dim) if encoder else (len(signal), 12, about.samples)
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        if found != wanted:
            fail(bench, f"{call} must give {wanted} for a batch of {len(signal)} and gave {found}: mend it or the spec")
        if not output.is_floating_point():
            fail(bench, f"{call} gave {output.dtype}: return floating-point numbers")


def finite(bench: Bench) -> None:
    """Recorded signals give finite numbers."""
    require_finite(bench, bench.observed(slice(3)))


def require_finite(bench: Bench, millivolt: Array) -> Array:
    """The output for the first records, which must be finite."""
    found = bench.output(millivolt)
    if not np.isfinite(found).all():
        record = f"of record {bench.records[0]}" if bench.records else "of the first record"
        fail(bench, f"{_product(bench)}s {record} or its neighbours are not finite: look where it divides")
    return found


def flat(bench: Bench) -> None:
    """A lead without any signal gives finite numbers."""
    signal = bench.observed(slice(3))
    signal[0], signal[1] = 0.0, 0.5
    if not np.isfinite(bench.output(signal)).all():
        fail(bench, f"the {_product(bench)} of a flat lead is not finite: guard what divides by a deviation or a sum")


def noise(bench: Bench) -> None:
    """Noise of any strength gives finite numbers."""
    strengths = np.array([0.001, 1.0, 50.0], dtype=np.float32)[:, None, None]
    drawn = np.random.default_rng(0).standard_normal(bench.observed(slice(3)).shape, dtype=np.float32)
    if not np.isfinite(bench.output(drawn * strengths)).all():
        fail(bench, f"the {_product(bench)} of white noise (0.001 to 50 mV) is not finite: look for an overflow")


def repeat(bench: Bench) -> None:
    """Two passes over the same records agree, whatever the random state."""
    require_repeatable(bench, bench.output(bench.observed(slice(3))))


def require_repeatable(bench: Bench, first: Array) -> None:
    """A second pass over the first records agrees with the first."""
    # A generator may draw, as long as the same seed draws the same.
    seed = 1 if bench.adapter.spec.kind == "encoder" else 0
    if differ(bench.output(bench.observed(slice(len(first))), seed=seed), first, same(bench)):
        fail(
            bench,
            "two passes over the same records differ: put the network into eval() in load(), dropout and batch "
            "statistics belong to training",
        )


def history(bench: Bench) -> None:
    """What was given before leaves no trace."""
    first = bench.output(bench.observed(slice(3)))
    bench.output(bench.observed(slice(3, 8)))
    bench.output(bench.observed(slice(8, 12)) * 3)
    if differ(bench.output(bench.observed(slice(3))), first, same(bench)):
        fail(bench, f"the {_product(bench)} of a record depends on what came before it: keep nothing between batches")


def batch(bench: Bench) -> None:
    """A record gives the same alone as among 32."""
    together = bench.output(bench.observed())
    if _draws(bench, together):
        raise NotApplicable("it draws, and what is drawn for a record depends on the records before it")
    require_alone_alike(bench, together, rows=(0, len(together) - 1))


def require_alone_alike(bench: Bench, together: Array, rows: Sequence[int]) -> None:
    """Some records alone give what they give together, unless something is drawn for each of them."""
    if _draws(bench, together):
        return
    for row in rows:
        if differ(bench.output(bench.observed([row])), together[[row]], ALIKE, scale=together):
            fail(
                bench,
                f"the {_product(bench)} of a record depends on the other records of its batch: use eval() in load()",
            )


def device(bench: Bench) -> None:
    """Loaded again, and on the CPU in between, it gives the same; what it gives stays on the device."""
    signal = bench.prepared(bench.observed(slice(3)))
    where = bench.raw(signal).device.type
    if where != signal.device.type:
        fail(bench, f"given a signal on {signal.device.type}, it answers on {where}: answer where the signal is")
    bench.load()
    first = bench.output(bench.observed(slice(3)))
    if bench.device.type != "cpu":
        aside = Bench(bench.adapter, bench.millivolt, sampling_rate=bench.sampling_rate, leads=bench.leads)
        aside.weights = bench.weights
        try:
            away = aside.output(bench.observed(slice(3)))
        finally:
            bench.load()
        if differ(away, first, ACROSS_DEVICES):
            fail(bench, f"on the CPU it gives other numbers than on {bench.device}: let load() move everything")
    bench.load()
    if differ(bench.output(bench.observed(slice(3))), first, same(bench)):
        fail(
            bench,
            "loaded twice with the same weights, it differs: draw random weights from torch's global generator, and "
            "let load() replace all that was loaded before",
        )


def leads(bench: Bench) -> None:
    """Leads that were not observed do not count."""
    if set(bench.leads) == set(LEADS):
        raise NotApplicable("it is shown all twelve leads")
    first = bench.output(bench.observed(slice(3)))
    with bench.other_leads_scrambled():
        again = bench.output(bench.observed(slice(3)))
    if differ(again, first, same(bench)):
        fail(
            bench,
            f"with only lead {', '.join(bench.leads)} observed, the other leads of the record change the "
            f"{_product(bench)}: use the signal that is given and no other",
        )


def input_signal(bench: Bench) -> None:
    """The signal that is given stays as it was."""
    signal = bench.prepared(bench.observed(slice(3)))
    before = signal.clone()
    bench.raw(signal)
    if not torch.equal(signal, before):
        fail(bench, "it writes into the signal that it is given: work on a copy, `ecg = ecg.clone()`")


def frozen(bench: Bench) -> None:
    """No parameter or buffer changes."""
    with running_modules() as ran:
        bench.raw(bench.prepared(bench.observed(slice(3))))
    modules = networks(bench.adapter)
    known = {id(part) for module in modules.values() for part in module.modules()}
    # A closure hides a network from the search through the attributes; what ran comes with the outermost first.
    for module in ran:
        if id(module) not in known:
            modules[f"({type(module).__name__})"] = module
            known |= {id(part) for part in module.modules()}
    if not modules:
        raise NotApplicable("no torch module was found in the method")
    before = fingerprint(modules)
    bench.raw(bench.prepared(bench.observed(slice(3, 12))))
    after = fingerprint(modules)
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    if changed:
        some = ", ".join(sorted(changed)[:3])
        fail(bench, f"{some} changed while it ran: use eval() in load(), and update nothing but in pre-training")


def evaluation(bench: Bench) -> None:
    """Every module runs in evaluation mode, and stays in it."""
    bench.ready()
    before = {path for path, module in networks(bench.adapter).items() if module.training}
    with running_modules() as ran:
        bench.raw(bench.prepared(bench.observed(slice(3))))
    if not ran:
        raise NotApplicable("no torch module ran")
    training = sorted({type(module).__name__ for module, was_training in ran.items() if was_training})
    if training:
        fail(bench, f"{', '.join(training[:3])} ran in training mode: call eval() on the whole network in load()")
    switched = sorted({path for path, module in networks(bench.adapter).items() if module.training} - before)
    if switched:
        fail(bench, f"{', '.join(switched[:3])} was put into training mode: leave the network as load() made it")


def gradient(bench: Bench) -> None:
    """No gradient is computed or kept."""
    output = bench.raw(bench.prepared(bench.observed(slice(3))))
    if output.requires_grad:
        fail(bench, "what it gives carries a gradient: do not turn gradients on, nor leave inference mode")
    kept = [
        f"{path}.{name}"
        for path, module in networks(bench.adapter).items()
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    ]
    if kept:
        fail(bench, f"{', '.join(kept[:3])} has a gradient after it ran: call no backward()")


def memory(bench: Bench) -> None:
    """Memory grows no faster than the batch."""
    peaks = []
    # Twice for the smaller batch: what is made on the first call and kept belongs to neither.
    for size in (FEW, FEW, RECORDS):
        signal = bench.prepared(bench.observed(slice(size)))
        bench.ready()
        with PeakMemory() as watched:
            bench.raw(signal)
        peaks.append(watched.peak)
    few, many = peaks[1:]
    if not few:
        raise NotApplicable("it makes no torch tensors")
    if many > few * RECORDS / FEW * GROWTH:
        fail(
            bench,
            f"{RECORDS} records need {many / few:.1f} times the memory of {FEW} ({many / 1e6:.1f} MB, {few / 1e6:.1f} "
            f"MB): something grows with the square of the batch; compare no record with another",
        )


def tokens(bench: Bench) -> None:
    """embed() is tokenize(), then embed_tokens()."""
    adapter: Any = bench.adapter
    if not isinstance(adapter, Tokenizer):
        raise NotApplicable("the method reads signals, not tokens")
    bench.ready()
    signal = bench.prepared(bench.observed(slice(3)))
    cut = adapter.tokenize(signal)
    away = sorted(name for name, value in cut.items() if value.device.type != "cpu")
    if away:
        fail(bench, f"tokenize() left {', '.join(away)} on {bench.device.type}: tokens are kept on the CPU")
    with torch.inference_mode():
        by_tokens = adapter.embed_tokens({name: value.to(bench.device) for name, value in cut.items()})
    whole = bench.raw(signal)
    if differ(by_tokens.float().cpu().numpy(), whole.float().cpu().numpy(), same(bench)):
        fail(bench, "embed_tokens(tokenize(ecg)) differs from embed(ecg): let embed() call these two and nothing else")


def fail(bench: Bench, sentence: str) -> NoReturn:
    """End a check.

    Raises:
        NonconformingError: always, with the method's name before the sentence.
    """
    raise NonconformingError(f"method {bench.adapter.spec.name}: {sentence}")


def _product(bench: Bench) -> str:
    return "embedding" if bench.adapter.spec.kind == "encoder" else "synthetic ECG"


def _draws(bench: Bench, together: Array) -> bool:
    """Whether a generator makes something else of the same records from another seed."""
    if bench.adapter.spec.kind != "generator":
        return False
    return differ(bench.output(bench.observed(slice(len(together))), seed=1), together, same(bench))


def same(bench: Bench) -> float:
    """How much two passes of one network over one batch may differ on the bench's device."""
    # cuDNN may choose another kernel for the second pass of the same network.
    return SAME if bench.device.type == "cpu" else ALIKE


def differ(found: Array, wanted: Array, tolerance: float, scale: Array | None = None) -> bool:
    """Whether two outputs differ by more than a share of the largest number, or in what is not a number."""
    largest = float(np.abs(wanted if scale is None else scale).max())
    return not bool(np.abs(found - wanted).max() <= tolerance * largest + 1e-6)
