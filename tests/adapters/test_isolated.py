"""An encoder in another interpreter: real processes that answer, fail, die, hang, and are always gone afterwards."""

from __future__ import annotations

import ast
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mibench.adapters import registry
from mibench.adapters.errors import MibenchError
from mibench.adapters.isolated import PYTHON, WORKER, InterpreterOptions, IsolatedAdapter, IsolatedOptions
from mibench.benchmark.conformance import Bench, run_checks
from mibench.benchmark.data.dataset import Dataset

CPU = torch.device("cpu")

GOOD = """
import os, signal
import numpy as np
print("a package that talks")
assert signal.SIGTERM, "Python's own module, not the one beside the worker"

def load(checkpoint, device):
    scale = float(open(checkpoint).read())
    assert device == "cpu"

    def features(ecg):
        print("and goes on talking")
        assert ecg.dtype == np.float32
        open(checkpoint + ".pid", "w").write(str(os.getpid()))
        return scale * np.stack([ecg.mean(axis=(1, 2)), ecg.std(axis=(1, 2))], axis=1)

    return features
"""


def adapter(script: str, folder: Path, *, timeout: float = 60.0, python: str = sys.executable) -> IsolatedAdapter:
    """An adapter whose other program is `script`, and the checkpoint that it reads in `folder`."""
    worker = folder / "worker.py"
    worker.write_text(script)
    (folder / "w.pt").write_text("2.0")
    chosen = InterpreterOptions(python=python, worker=str(worker), timeout_seconds=timeout)
    return IsolatedAdapter(IsolatedOptions(isolated=chosen, embedding_dim=2))


def loaded(script: str, folder: Path, **options: Any) -> IsolatedAdapter:
    made = adapter(script, folder, **options)
    made.load(folder / "w.pt", CPU)
    return made


def is_gone(pid: int) -> bool:
    """Whether a process has ended, waiting a little for the system to notice."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{pid}/stat")
        if state.is_file() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def ecg(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 12, 5000, generator=torch.Generator().manual_seed(0))


def test_signals_go_there_and_features_come_back(tmp_path: Path) -> None:
    made = adapter(GOOD, tmp_path)
    report = made.load(tmp_path / "w.pt", CPU)
    assert f"python {sys.version.split()[0]}" in report.notes[0]
    assert "worker.py" in report.notes[0]
    signal = ecg()
    found = made.embed(signal)
    wanted = 2 * torch.stack([signal.mean(dim=(1, 2)), signal.std(dim=(1, 2), correction=0)], dim=1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(made.embed(signal[:1]), found[:1])
    made.close()


def test_the_process_is_one_and_ends_when_it_should(tmp_path: Path) -> None:
    made = loaded(GOOD, tmp_path)
    seen = []
    for _ in range(2):
        made.embed(ecg(1))
        seen.append(int((tmp_path / "w.pt.pid").read_text()))
    assert seen[0] == seen[1] != os.getpid()
    made.load(tmp_path / "w.pt", CPU)
    assert is_gone(seen[0]), "loading again starts another"
    made.embed(ecg(1))
    second = int((tmp_path / "w.pt.pid").read_text())
    made.close()
    assert is_gone(second)
    with pytest.raises(RuntimeError, match=r"load\(\) comes before embed"):
        made.embed(ecg(1))
    made.load(tmp_path / "w.pt", CPU)
    made.embed(ecg(1))
    third = int((tmp_path / "w.pt.pid").read_text())
    del made
    gc.collect()
    assert is_gone(third), "nobody holds it"


@pytest.mark.slow
def test_it_never_outlives_the_program_that_asks(tmp_path: Path) -> None:
    """Killed without a chance to clean up, as by the system when memory runs out."""
    loaded(GOOD, tmp_path).close()
    code = (
        "import os, signal, torch; from pathlib import Path; from mibench.adapters.isolated import *\n"
        f"chosen = InterpreterOptions({sys.executable!r}, {str(tmp_path / 'worker.py')!r})\n"
        "adapter = IsolatedAdapter(IsolatedOptions(isolated=chosen, embedding_dim=2))\n"
        f"adapter.load(Path({str(tmp_path / 'w.pt')!r}), torch.device('cpu'))\n"
        "adapter.embed(torch.ones(1, 12, 5000))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == -9
    assert is_gone(int((tmp_path / "w.pt.pid").read_text()))


DIES = """
import os, sys
def load(checkpoint, device):
    def features(ecg):
        if len(ecg) == 2:
            print("the last thing that was said", file=sys.stderr)
            os._exit(3)
        return ecg[:, 0, :2]
    return features
"""


def test_a_worker_that_dies_in_the_middle(tmp_path: Path) -> None:
    made = loaded(DIES, tmp_path)
    assert made.embed(ecg(3)).shape == (3, 2)
    with pytest.raises(MibenchError, match=r"ended during embed \(exit code 3\).*\n  the last thing that was said"):
        made.embed(ecg(2))
    with pytest.raises(MibenchError, match="has ended before: load the method again"):
        made.embed(ecg(3))
    made.load(tmp_path / "w.pt", CPU)
    assert made.embed(ecg(3)).shape == (3, 2)
    made.close()


def test_a_worker_that_hangs_is_ended(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys, time\n"
        "def load(checkpoint, device):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    open(checkpoint + '.pids', 'w').write('%d %d' % (os.getpid(), child.pid))\n"
        "    time.sleep(600)\n"
    )
    made = adapter(script, tmp_path, timeout=3.0)
    with pytest.raises(MibenchError, match=r"did not finish to load in 3 s and was ended.*timeout_seconds=6"):
        made.load(tmp_path / "w.pt", CPU)
    for pid in (tmp_path / "w.pt.pids").read_text().split():
        assert is_gone(int(pid))


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("ecg[:, 0, :7]", r"shape \(3, 7\) in place of \(3, 2\): add --set method.embedding_dim=7"),
        ("ecg[:2, 0, :2]", r"shape \(2, 2\) in place of \(3, 2\)"),
        ("ecg[:, :2, :2]", r"shape \(3, 2, 2\) in place of \(3, 2\): mend the worker"),
        ("'features'", r"failed: ValueError: could not convert string to float"),
        ("ecg.features", r"failed: AttributeError.*\n(.*\n)*.*no attribute 'features'"),
    ],
)
def test_features_of_another_shape(tmp_path: Path, returned: str, says: str) -> None:
    made = loaded(f"def load(checkpoint, device):\n    return lambda ecg: {returned}\n", tmp_path)
    with pytest.raises(MibenchError, match=says):
        made.embed(ecg(3))
    made.close()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("import a_package_of_nobody", "has no package a_package_of_nobody, which is needed there"),
        ("from os import nothing_like_it", "failed: ImportError: cannot import name"),
        ("def load(checkpoint, device):\n    raise KeyError('cfg')", r"failed: KeyError: 'cfg'; its last words"),
        ("def lood(checkpoint, device):\n    pass", "failed: KeyError: 'load'"),
        ("import os; os.abort()", r"ended during load \(signal 6\)"),
    ],
)
def test_what_goes_wrong_while_loading(tmp_path: Path, script: str, says: str) -> None:
    with pytest.raises(MibenchError, match=says):
        loaded(script, tmp_path)


def test_fairseq_signals_missing_over_there(tmp_path: Path) -> None:
    (tmp_path / "w.pt").touch()
    made = IsolatedAdapter(IsolatedOptions(isolated=InterpreterOptions(python=sys.executable)))
    with pytest.raises(MibenchError, match=r"fairseq-signals is not installed for .*configs/methods/fairseq-signals"):
        made.load(tmp_path / "w.pt", CPU)


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("/nowhere/bin/python", r"/nowhere/bin/python cannot be started \(No such file"),
        ("no-such-interpreter", "cannot be started"),
        ("{tmp}/w.pt", r"cannot be started \((Permission denied|Exec format)"),
        ("/bin/echo", r"is it a Python interpreter\? It said: .*isolated_worker.py"),
        ("/bin/false", r"ended during start \(exit code 1\)"),
    ],
)
def test_what_is_no_interpreter(tmp_path: Path, python: str, says: str) -> None:
    with pytest.raises(MibenchError, match=says):
        loaded(GOOD, tmp_path, python=python.format(tmp=tmp_path))


def test_an_interpreter_that_never_gets_ready(tmp_path: Path) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    with pytest.raises(MibenchError, match=r"did not finish to start in 0\.5 s"):
        loaded(GOOD, tmp_path, python=str(slow), timeout=0.5)


def test_the_interpreter_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PYTHON, raising=False)
    made = adapter(GOOD, tmp_path, python="")
    with pytest.raises(MibenchError, match=f"none is named: add --set method.isolated.python=.*or set {PYTHON}"):
        made.load(tmp_path / "w.pt", CPU)
    monkeypatch.setenv(PYTHON, sys.executable)
    made.load(tmp_path / "w.pt", CPU)
    made.close()


def test_without_a_checkpoint_there_is_no_network(tmp_path: Path) -> None:
    made = adapter(GOOD, tmp_path)
    with pytest.raises(MibenchError, match=r"has no random weights.*--weights FILE"):
        made.load(None, CPU)
    with pytest.raises(MibenchError, match="there is no weights file"):
        made.load(tmp_path / "absent.pt", CPU)


def test_a_changed_script_is_another_method(tmp_path: Path) -> None:
    first = adapter(GOOD, tmp_path).spec
    assert first == adapter(GOOD, tmp_path).spec
    assert first.identity() != adapter(GOOD.replace("std", "var"), tmp_path).spec.identity()
    assert IsolatedAdapter().spec.version == 1
    with pytest.raises(MibenchError, match="there is no such script"):
        IsolatedAdapter(IsolatedOptions(isolated=InterpreterOptions(worker=str(tmp_path / "absent.py"))))
    with pytest.raises(ValueError, match="timeout_seconds must be positive; got 0"):
        InterpreterOptions(timeout_seconds=0)


STAND_IN = '''
"""Has what is used of the package: the same function, and models with the same methods."""
import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self, state):
        super().__init__()
        self.feature_extractor = nn.Conv1d(12, 4, 16, stride=16)
        self.drop = nn.Dropout(0.5)
        self.load_state_dict(state)

    def extract_features(self, source, padding_mask):
        hidden = self.drop(self.feature_extractor(source)).transpose(1, 2).relu()
        return {"x": hidden, "padding_mask": padding_mask}

class Classifier(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.proj = nn.Linear(4, 2)

def build_model_from_checkpoint(checkpoint_path):
    found = torch.load(checkpoint_path, weights_only=True)
    encoder = Encoder(found["model"])
    return Classifier(encoder) if found["tuned"] else encoder
'''


@pytest.mark.parametrize("tuned", [pytest.param(False, marks=pytest.mark.slow), True])
def test_fairseq_signals_by_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuned: bool) -> None:
    """A package of the same name and interface: evaluation mode, the encoder, the mean of what is not zero."""
    package = tmp_path / "site" / "fairseq_signals"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "__init__.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(12, 4, 16, stride=16)
    state = {f"feature_extractor.{name}": tensor for name, tensor in conv.state_dict().items()}
    torch.save({"model": state, "tuned": tuned}, tmp_path / "w.pt")
    made = IsolatedAdapter(IsolatedOptions(isolated=InterpreterOptions(sys.executable), embedding_dim=4))
    report = made.load(tmp_path / "w.pt", CPU)
    assert report.loaded == 2
    assert "fairseq-signals, Encoder" in report.notes[0]
    assert f"torch {torch.__version__}" in report.notes[0]
    signal = ecg()
    with torch.no_grad():
        hidden = conv(signal).relu()
        wanted = hidden.sum(dim=2) / (hidden > 0).sum(dim=2)
    torch.testing.assert_close(made.embed(signal), wanted, atol=1e-5, rtol=1e-4)
    made.close()


def test_the_worker_is_for_old_interpreters_and_imports_little() -> None:
    tree = ast.parse(WORKER.read_text(encoding="utf-8"), feature_version=(3, 6))
    future = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert future == [], "the future of annotations begins with Python 3.7"
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported == {"os", "sys", "json", "platform", "runpy", "traceback", "typing"}
    assert "mibench" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_it_conforms(tmp_path: Path) -> None:
    made = adapter(GOOD, tmp_path)
    found = run_checks(Bench(made, weights=tmp_path / "w.pt"))
    assert [outcome.sentence for outcome in found if outcome.state == "failed"] == []
    skipped = {outcome.check.name for outcome in found if outcome.state == "skipped"}
    assert skipped == {"frozen", "eval", "memory", "tokens", "tune", "training", "fit"}, "nothing of it is on this side"
    made.close()


def test_it_is_a_method_like_any_other(mibench: Callable[..., Any], with_demo: Dataset, tmp_path: Path) -> None:
    card = registry.find("fairseq-signals")
    assert registry.create(card).spec == IsolatedAdapter().spec
    worker = tmp_path / "worker.py"
    worker.write_text(GOOD)
    (tmp_path / "w.pt").write_text("2.0")
    sets = [f"method.isolated.python={sys.executable}", f"method.isolated.worker={worker}", "method.embedding_dim=2"]
    chosen = [word for text in sets for word in ("--set", text)]
    out = tmp_path / "e.npz"
    answer = mibench(
        *("embed", "--method", "fairseq-signals", *chosen, "--weights", tmp_path / "w.pt", "--data", "demo"),
        *("--out", out),
    )
    assert answer.code == 0, answer.err
    signals = with_demo.store.read(np.arange(len(with_demo.store)), ["I"])[:, 0]
    with np.load(out) as kept:
        assert kept["embeddings"].shape == (len(signals), 2)
        # Lead I has variance 1 among eleven silent leads, which the other program is given as they are.
        np.testing.assert_allclose(kept["embeddings"][:, 1], 2 / np.sqrt(12), rtol=1e-3)
    without = mibench("run", "--method", "fairseq-signals", *chosen, "--weights", "random")
    assert without.code == 2
    assert "has no random weights" in without.err
