"""Which run records are meant: by data, protocol, method, weights, share of the training records, and seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Selection:
    """What is asked of a record; an empty part asks for nothing.

    Attributes:
        data, protocols, methods: names; a protocol also with its version, such as "linear_probe-v1".
        ratios: in percent; records without a ratio, such as those of `mibench fid`, are of any.
        seeds: likewise.
    """

    data: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    ratios: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()

    def takes(self, record: Record) -> bool:
        """Whether a record is one of those."""
        protocol = record["protocol"]
        names = {protocol["name"], f"{protocol['name']}-v{protocol['version']}"}
        ratio, seed = record["ratio"], record["seed"]
        return (
            (not self.data or record["data"]["name"] in self.data)
            and (not self.protocols or not names.isdisjoint(self.protocols))
            and (not self.methods or record["method"]["name"] in self.methods)
            and (not self.ratios or ratio is None or any(abs(100 * ratio - wanted) < 1e-6 for wanted in self.ratios))
            and (not self.seeds or seed is None or seed in self.seeds)
        )


def describe(record: Record) -> str:
    """A record in a few words, its key last."""
    protocol, weights = record["protocol"], record["weights"]
    share = "" if record["ratio"] is None else f", {100 * record['ratio']:g} %"
    seed = "" if record["seed"] is None else f", seed {record['seed']}"
    return (
        f"{record['method']['name']}:{weights['source']} ({record['data']['name']}, {protocol['name']} "
        f"v{protocol['version']}{share}{seed}, key {record['key'][:12]})"
    )


def what_there_is(records: Iterable[Record]) -> str:
    """Names of what some records hold, for a sentence."""
    kept = list(records)
    data = sorted({record["data"]["name"] for record in kept})
    protocols = sorted({record["protocol"]["name"] for record in kept})
    methods = sorted({record["method"]["name"] for record in kept})
    ratios = sorted({record["ratio"] for record in kept if record["ratio"] is not None})
    shares = ", ".join(f"{100 * ratio:g}" for ratio in ratios)
    return f"{', '.join(protocols)} on {', '.join(data)}, of {', '.join(methods)}, at {shares or 'no'} %"
