"""A frozen encoder over a whole data set: loaded, checked, run once, and remembered with what its weights file said."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt

from ..adapters.base import Encoder
from ..adapters.errors import MibenchError
from .conformance import assert_sound
from .embed import cached_embeddings, embedding_folder, embedding_key
from .files import write_json
from .protocols.request import Request
from .weights import Weights

NOTES = "notes.json"


class RefusedWeightsError(MibenchError):
    """The weights do not fit the method: nothing was run, so nothing failed."""


def embeddings_of(
    request: Request, weights: Weights, leads: tuple[str, ...]
) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """(records, embedding_dim) of the request's data, and what loading the weights found.

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
        write_json(folder / NOTES, list(notes))
        return encoder

    embeddings = cached_embeddings(load, request.method, folder, store, leads, request.batching, request.steps)
    try:
        notes = tuple(json.loads((folder / NOTES).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        notes = ()
    return embeddings, notes
