"""Have the weights of a row met the data of its board before? What the records declare, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PUBLISHED = "published"
TRAINING = "training records"

SIGNS: Mapping[str, str] = {PUBLISHED: "†", TRAINING: "‡"}
SENTENCES: Mapping[str, str] = {
    PUBLISHED: "the published weights saw these data in pre-training, test records perhaps among them.",
    TRAINING: "pre-trained on the training folds of the same data; no test record was among them.",
}

_COLLECTIONS = {"physionet2021": "ptbxl", "cinc2021": "ptbxl"}
"""Data sets that hold another one whole."""


def leak_of(record: Mapping[str, Any]) -> str:
    """A key of `SIGNS`, or nothing where the weights have not met the data; demo data are no secret to anybody.

    Weights that are published count by what their method declares, `pretraining_data`; those pre-trained here by the
    data set that the record of their pre-training names.
    """
    data, weights = record["data"], record["weights"]
    if data.get("notice"):
        return ""
    if weights["source"] == "published":
        declared = record["method"].get("pretraining_data")
        names = declared if isinstance(declared, list) else []
        return PUBLISHED if any(_holds(str(name), data["name"]) for name in names) else ""
    about = (weights.get("pretraining") or {}).get("data")
    name = about.get("name") if isinstance(about, Mapping) else about
    return TRAINING if name and _holds(str(name), data["name"]) else ""


def leak_lines(found: set[str]) -> list[str]:
    """The footnotes of a board whose rows have these leaks."""
    return [f"{sign} {SENTENCES[leak]}" for leak, sign in SIGNS.items() if leak in found]


def _holds(seen: str, data: str) -> bool:
    """Whether records of `data` are among those of `seen`: names of subsets begin with that of the whole."""
    one, other = _plain(seen), _plain(data)
    return bool(one) and other.startswith(_COLLECTIONS.get(one, one))


def _plain(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())
