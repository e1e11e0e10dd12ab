"""What a generator makes of one validation record after each epoch of its training, drawn for people to look at."""

from __future__ import annotations

import torch

from ..adapters import registry
from ..adapters.base import LEADS, Generator
from ..adapters.checkpoints import save_weights
from ..adapters.errors import MibenchError
from .synthesis import synthesize
from .training.loop import Training

FOLDER = "samples"


def draw_epoch(training: Training, epoch: int) -> None:
    """Draw the first validation record, real against generated, to `samples/epoch-NNN.png` beside the checkpoint.

    The weights take the way of every weights file, so that the picture shows what would be loaded later. A picture that
    cannot be drawn is told and ends nothing.
    """
    # Only generators are drawn, and matplotlib takes its time.
    from .figures.ecg_paper import draw_sample

    request = training.request
    if not len(training.validation):
        return
    row = training.validation[:1]
    generator = registry.create(request.card)
    assert isinstance(generator, Generator)
    store, device = request.data.store, request.batching.device
    file = training.folder / FOLDER / "weights.safetensors"
    out = training.folder / FOLDER / f"epoch-{epoch:03d}.png"
    try:
        file.parent.mkdir(exist_ok=True)
        save_weights(file, training.method.trained_state(training.network), {"method": request.method})
        with torch.random.fork_rng(devices=[]):
            generator.load(file, device)
        real = store.read(row, LEADS)
        generated = synthesize(generator, real, store.sampling_rate, device, pass_through=False)
        losses = training.validation_losses
        told = f": {losses[-1]:.4g} ({training.network.criterion})" if losses else ""
        draw_sample(
            real[0],
            generated[0].cpu().numpy(),
            store.sampling_rate,
            out,
            title=f"{request.title}, epoch {epoch} of {training.settings.epochs}{told}",
            footer=request.numbered(f"record {request.data.records[row[0]]} of {request.data.name}, validation fold"),
        )
    except (MibenchError, OSError) as problem:
        request.say(f"the picture of epoch {epoch} could not be drawn: {problem}")
    finally:
        file.unlink(missing_ok=True)
