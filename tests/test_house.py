"""The house: what depends on what, what is in the wheel, and how quickly the door opens."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("methods", "adapters", "benchmark")


def imported_modules(file: Path) -> list[str]:
    """Absolute-looking names of everything a file imports, relative imports resolved to mibench.*."""
    package = ("mibench", *file.relative_to(ROOT).parent.parts)
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_run_downward_only(floor: str) -> None:
    above = FLOORS[FLOORS.index(floor) + 1 :]
    for file in (ROOT / floor).rglob("*.py"):
        for name in imported_modules(file):
            assert not any(name.startswith(f"mibench.{upper}") for upper in above), f"{file} imports {name}"


def test_the_benchmark_knows_no_concrete_method() -> None:
    concrete = {f"mibench.adapters.{file.stem}" for file in (ROOT / "adapters").glob("*.py")}
    shared = (
        "base",
        "registry",
        "signal",
        "filters",
        "checkpoints",
        "torchfile",
        "inert",
        "options",
        "errors",
        "atomic",
    )
    concrete -= {f"mibench.adapters.{name}" for name in shared}
    for file in (ROOT / "benchmark").rglob("*.py"):
        for name in imported_modules(file):
            assert not name.startswith("mibench.methods"), f"{file} imports {name}"
            assert not any(name.startswith(method + ".") or name == method for method in concrete), f"{file}: {name}"


def test_no_module_outgrows_five_hundred_lines() -> None:
    for floor in FLOORS:
        for file in (ROOT / floor).rglob("*.py"):
            assert len(file.read_text(encoding="utf-8").splitlines()) <= 500, file


def test_the_wheel_holds_every_package_and_every_configuration(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
        ".",
    ]
    source = tmp_path / "source"
    listing = ["git", "ls-files", "-co", "--exclude-standard"]
    tracked = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in tracked.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name.removeprefix("mibench/") for name in zipfile.ZipFile(wheel).namelist() if name.startswith("mibench/")}
    wanted = {
        name
        for name in tracked.stdout.splitlines()
        if name.split("/")[0] in {*FLOORS, "configs", "results"}
        and name.endswith((".py", ".yaml", ".json", ".css", ".js", ".md", ".bib", "py.typed"))
        and not name.startswith("results/example/")  # for reading in the repository
    }
    assert wanted <= held, f"missing from the wheel: {sorted(wanted - held)}"
    assert "results/paper.yaml" in held


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["table", "--help"],
        ["compare", "--help"],
        ["results", "--help"],
        ["report", "--help"],
        ["run", "--help"],
        ["data"],
        ["methods"],
    ],
)
def test_light_commands_never_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from mibench.benchmark.cli import cli; "
        f"cli.main({arguments!r}, standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
