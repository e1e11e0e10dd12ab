"""Every switch that `results/DEVIATIONS.md` names exists, takes the values it names, and stands with its evidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from mibench.adapters import registry
from mibench.adapters.errors import MibenchError
from mibench.benchmark import config
from mibench.benchmark.cli import cli
from mibench.benchmark.labels import flat
from mibench.benchmark.protocols import generative, latent_fid, linear_probe, pretrain, retrieval, supervised

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "results" / "DEVIATIONS.md").read_text(encoding="utf-8")
HEADER = ["left open", "default", "switch", "evidence"]
PROTOCOLS = (linear_probe, generative, latent_fid, retrieval, supervised, pretrain)


def rows() -> list[list[str]]:
    """The cells of every table, headers and rules left out."""
    lines = [line.strip() for line in TEXT.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row != HEADER and set(row[0]) != {"-"}]


def switches() -> list[str]:
    return list(dict.fromkeys(word for row in rows() for word in re.findall(r"`([^`]+)`", row[2])))


def options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from options(child)


OPTIONS = set(options(cli))
CARDS = tuple(registry.cards()[0].values())


def settings_files() -> dict[str, set[str]]:
    """The keys of `--set protocol.KEY`, by protocol."""
    files = (ROOT / "configs" / "protocols").glob("*.yaml")
    return {file.stem: set(yaml.safe_load(file.read_text())["settings"]) for file in files}


def methods_with(path: str) -> list[Any]:
    return [card for card in CARDS if path in flat(card.options)]


def values_of(switch: str) -> tuple[str, list[str]]:
    path, _, listed = switch.partition("=")
    return path, [value.strip() for value in listed.split(",") if value.strip()]


def test_every_row_has_a_default_a_switch_and_evidence() -> None:
    tables = re.findall(r"^\| left open.*$", TEXT, flags=re.MULTILINE)
    assert set(tables) == {"| left open | default | switch | evidence |"}
    assert len(rows()) > 60
    for row in rows():
        assert len(row) == 4, row
        assert all(row), row
        assert row[2] == "none" or "`" in row[2], f"{row[0]}: a switch in backticks, or none"


@pytest.mark.parametrize("switch", [word for word in switches() if not word.startswith(("protocol.", "method."))])
def test_options_and_commands_exist(switch: str) -> None:
    named = re.findall(r"--[a-z][a-z-]*", switch)
    assert set(named) <= OPTIONS
    command: click.Command = cli
    if switch.startswith("mibench "):
        for word in switch.split()[1:]:
            if word.startswith("-") or not isinstance(command, click.Group):
                break
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"{switch}: there is no {word}"
            command = found
    assert named or command is not cli, f"{switch} is neither an option nor a command"


@pytest.mark.parametrize("switch", [word for word in switches() if word.startswith("protocol.")])
def test_settings_of_protocols_exist_and_take_their_values(switch: str) -> None:
    path, values = values_of(switch)
    key = path.removeprefix("protocol.")
    holders = [name for name, keys in settings_files().items() if key in keys]
    assert holders, f"no protocol has {key}"
    for value in values:
        kinds = [(p.NAME, p.Settings) for p in PROTOCOLS if p.NAME in holders]
        sets = _set("protocol", key, value)
        assert any(_taken(config.protocol, name, kind, sets) for name, kind in kinds), (switch, value)


@pytest.mark.parametrize("switch", [word for word in switches() if word.startswith("method.")])
def test_options_of_methods_exist_and_take_their_values(switch: str) -> None:
    path, values = values_of(switch)
    key = path.removeprefix("method.")
    cards = methods_with(key)
    assert cards, f"no method has {key}"
    for value in values:
        assert any(_taken(_made, card, key, value) for card in cards), (switch, value)


@pytest.mark.parametrize("preset", sorted(set(re.findall(r"--preset ([a-z_0-9]+)", TEXT))))
def test_presets_exist(preset: str) -> None:
    assert any(preset in card.presets for card in CARDS)


def test_a_switch_that_does_not_exist_would_be_noticed() -> None:
    assert "--quickly" not in OPTIONS
    assert not methods_with("net.use_magic")
    (card, *_) = methods_with("loss.similarity")
    assert not _taken(_made, card, "loss.similarity", "magic")


def _set(section: str, key: str, value: str) -> dict[str, Any]:
    """What `--set section.key=value` comes to."""
    return config.parse_sets([f"{section}.{key}={value}"])[section]


def _made(card: Any, key: str, value: Any) -> None:
    registry.create(registry.resolve_options(card, None, _set("method", key, value)))


def _taken(attempt: Callable[..., Any], *arguments: Any) -> bool:
    try:
        attempt(*arguments)
    except (MibenchError, ValueError):
        return False
    return True
