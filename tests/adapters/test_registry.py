"""Finding methods: by name, by entry point, by module, by file; and what is said when that fails."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from mibench.adapters import registry
from mibench.adapters.base import Encoder
from mibench.adapters.errors import MibenchError

PLUGIN = """
import torch
from mibench.adapters.base import MethodSpec

class MyNet:
    spec = MethodSpec(name="{name}", embedding_dim=4, version=1)

    def load(self, weights, device):
        self.net = torch.nn.Linear(self.spec.samples, 4).to(device)

    def embed(self, ecg):
        return self.net(ecg[:, 0])
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "my_adapter.py"
    file.write_text(PLUGIN.format(name="my-net"))
    return file


def test_the_built_in_methods_are_there_and_sound() -> None:
    cards, _ = registry.cards()
    assert {"selfmis", "ecgfounder", "prevalence"} <= set(cards)
    for card in cards.values():
        if card.origin == "built in":
            adapter = registry.create(card)
            assert isinstance(adapter, Encoder) is (adapter.spec.kind == "encoder")
            assert adapter.spec.name == card.name


def test_every_preset_of_every_method_is_accepted() -> None:
    for card in registry.cards()[0].values():
        for preset in card.presets:
            registry.create(registry.resolve_options(card, preset))


@pytest.mark.parametrize(
    ("typed", "meant"), [("selfmi", "selfmis"), ("ECGFounder", "ecgfounder"), ("prevalance", "prevalence")]
)
def test_an_unknown_name_gets_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(MibenchError, match=f"did you mean `{meant}`"):
        registry.find(typed)


def test_a_file_is_a_method(plugin: Path) -> None:
    adapter = registry.create(registry.find(f"{plugin}:MyNet"))
    assert adapter.spec.name == "my-net"


def test_a_plug_ins_code_is_part_of_its_identity(plugin: Path) -> None:
    first = registry.code_hash(registry.find(f"{plugin}:MyNet"))
    plugin.write_text(plugin.read_text() + "\n# changed\n")
    assert registry.code_hash(registry.find(f"{plugin}:MyNet")) != first
    assert registry.code_hash(registry.find("selfmis")) is None


@pytest.mark.parametrize(
    ("source", "cls", "says"),
    [
        (PLUGIN.format(name="selfmis"), "MyNet", "calls itself `selfmis`"),
        (PLUGIN.format(name="x"), "MyNett", "did you mean `MyNet`"),
        ("import nothing_of_that_name", "MyNet", "cannot be imported: ModuleNotFoundError"),
        ("class MyNet:\n    pass", "MyNet", "lacks a `spec`"),
        ("def x(:", "MyNet", "SyntaxError"),
        (
            "from mibench.adapters.base import MethodSpec\nclass MyNet:\n    spec = MethodSpec(name='x')",
            "MyNet",
            "lacks the methods of encoders",
        ),
        ("class MyNet:\n    def __init__(self):\n        raise RuntimeError('no GPU')", "MyNet", "could not be made"),
    ],
)
def test_a_broken_plug_in_is_named(tmp_path: Path, source: str, cls: str, says: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(source)
    with pytest.raises(MibenchError, match=says):
        registry.create(registry.find(f"{file}:{cls}"))


def test_a_missing_file_is_said() -> None:
    with pytest.raises(MibenchError, match="there is no file"):
        registry.create(registry.find("nowhere/adapter.py:MyNet"))


def test_entry_points_join_and_a_clash_names_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = EntryPoints(
        [
            EntryPoint("other-net", "other_package.adapter:Net", registry.GROUP),
            EntryPoint("selfmis", "rival.adapter:Net", registry.GROUP),
        ]
    )
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: entries)
    cards, warnings = registry.cards()
    assert cards["other-net"].target == "other_package.adapter:Net"
    assert cards["selfmis"].origin == "built in"
    assert len(warnings) == 1
    assert "rival.adapter:Net" in warnings[0]
    assert "adapters.selfmis" in warnings[0]


def test_a_broken_entry_point_does_not_take_the_command_line_down(tmp_path: Path) -> None:
    """A real distribution with a broken module, on the path of a real interpreter."""
    info = tmp_path / "broken_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mibench.methods]\nbroken = broken_plugin:Net\n")
    (tmp_path / "broken_plugin.py").write_text("raise ImportError('half installed')\n")
    code = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from mibench.benchmark.cli import main
        sys.argv = ["mibench", *sys.argv[1:]]
        main()
        """
    )

    def mibench(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)

    listing = mibench("methods")
    assert listing.returncode == 0
    assert "broken" in listing.stdout
    assert "entry point of broken-plugin" in listing.stdout
    chosen = mibench("methods", "show", "broken")
    assert chosen.returncode == 2
    assert "entry point of broken-plugin" in chosen.stderr
    assert "half installed" in chosen.stderr
    assert "Traceback" not in chosen.stderr
    doctor = mibench("doctor")
    assert "LOOK method broken" in doctor.stdout
