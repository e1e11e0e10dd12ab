"""A frozen encoder over a whole data set: loaded, checked, run once, and remembered with what its weights file said."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..adapters.base import Encoder, Tokenizer
from ..adapters.errors import MibenchError
from .conformance import assert_sound
from .embed import cached_embeddings, embedding_folder, embedding_key
from .files import write_json
from .protocols.request import Request
from .tokens import cached_tokens
from .weights import Weights

NOTES = "notes.json"


class RefusedWeightsError(MibenchError):
    """The weights do not fit the method: nothing was run, so nothing failed."""


@dataclass(frozen=True)
class Frozen:
    """What a frozen encoder made of a data set.

    Attributes:
        embeddings: (records, embedding_dim).
        notes: what loading the weights found.
        without_tokens: number of records out of which nothing was cut; None for an encoder that reads signals.
    """

    embeddings: npt.NDArray[np.float32]
    notes: tuple[str, ...] = ()
    without_tokens: int | None = None


def embeddings_of(request: Request, weights: Weights, leads: tuple[str, ...]) -> Frozen:
    """Embeddings of the request's data, from the cache or computed now.

    Raises:
        RefusedWeightsError: the weights file does not fit.
        MibenchError: the method is no encoder, or its outputs are wrong.
    """
    encoder, store, device = request.adapter, request.data.store, request.batching.device
    if not isinstance(encoder, Encoder):
        raise MibenchError(f"{request.method} is a {request.adapter.spec.kind}: it has no embeddings")
    key = embedding_key({**request.method_identity(), "weights": weights.identity()}, store, leads)
    folder = embedding_folder(request.method, key)

    def load() -> Encoder:
        try:
            notes = weights.load(encoder, device).notes
        except MibenchError as problem:
            raise RefusedWeightsError(str(problem)) from problem
        for note in notes if weights.source == "published" else ():
            request.say(f"{weights.name}: {note}")
        assert_sound(encoder, store, leads, device)
        # Kept beside the embeddings: a later run from the cache has the same to say in its record.
        write_json(folder / NOTES, {"notes": list(notes)})
        return encoder

    embeddings = cached_embeddings(load, request.method, folder, store, leads, request.batching, request.steps)
    about = read_notes(folder)
    if isinstance(encoder, Tokenizer) and "without_tokens" not in about:
        about["without_tokens"] = cached_tokens(encoder, encoder.spec, store, leads, request.steps).empty
        write_json(folder / NOTES, about)
        if about["without_tokens"]:
            request.say(
                f"{request.method}: nothing could be cut out of {about['without_tokens']} of {len(store)} records"
            )
    return Frozen(embeddings, tuple(about.get("notes", ())), about.get("without_tokens"))


def read_notes(folder: Path) -> dict[str, Any]:
    """What was found when the network was loaded whose outputs lie in a folder; empty when that is lost."""
    try:
        return dict(json.loads((folder / NOTES).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
