"""Every command, called as a user calls it: what it prints, where, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mibench.adapters.ecgfounder import ECGFounderAdapter
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.home import home, results_folder
from support import TINY_ARGUMENTS

NOTICE = "demo data: not a result"
QUICK = ("--set", "protocol.epochs=2", "--set", "protocol.resamples=50")
RUN = (sys.executable, "-m", "mibench.benchmark.cli", "run", "--method")
Command = Callable[..., Any]

PLUGIN = """
import torch
from mibench.adapters.base import MethodSpec

class MyNet:
    spec = MethodSpec(name="my-net", title="My net", embedding_dim=16)

    def load(self, weights, device):
        self.net = torch.nn.Conv1d(1, 16, 64, stride=8).to(device).eval()

    def embed(self, ecg):
        return self.net(ecg).abs().mean(dim=2)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "my_adapter.py"
    file.write_text(PLUGIN)
    return file


def test_the_first_command_goes_from_nothing_to_a_ranked_board(mibench: Command, with_demo: Dataset) -> None:
    pretraining = ("--set", "protocol.epochs=2")
    ready = mibench("pretrain", "--method", "selfmis", *TINY_ARGUMENTS, *pretraining, "--batch-size", 16)
    assert ready.code == 0, ready.err
    assert NOTICE in ready.err
    answer = mibench("run", "--method", "selfmis", *TINY_ARGUMENTS, *QUICK, "--no-companions")
    assert answer.code == 0, answer.err
    assert "pretrained on demo" in answer.out
    table = mibench("table", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(table.out))
    assert row["method"] == "selfmis"
    assert NOTICE in row.values()


def test_selfmis_without_weights_is_pre_trained_on_the_demo_first(mibench: Command, with_demo: Dataset) -> None:
    answer = mibench("run", "--method", "selfmis", *TINY_ARGUMENTS, *QUICK, "--no-companions")
    assert answer.code == 0, answer.err
    assert "pre-training it on the demo heart first" in answer.err
    assert "2 epochs, batch 32 (the published recipe: 20 epochs, batch 128)" in answer.err
    assert all(NOTICE in line for line in answer.err.splitlines() if "loss" in line)
    again = mibench("run", "--method", "selfmis", *TINY_ARGUMENTS, *QUICK, "--no-companions")
    assert "1 of 1 runs are done already" in again.err
    assert again.out == answer.out
    assert "pre-training" not in again.err


def test_companions_rank_a_first_run(mibench: Command, with_demo: Dataset, plugin: Path) -> None:
    arguments = ("--method", f"{plugin}:MyNet", "--weights", "random:1", "--set", "protocol.epochs=1")
    answer = mibench("run", *arguments, "--set", "protocol.resamples=50", "--companions")
    assert answer.code == 0, answer.err
    for name in ("My net", "ECGFounder", "Prevalence", "random (anchor)"):
        assert name in answer.out
    rows = [line for line in answer.out.splitlines() if "(anchor)" in line]
    assert len(rows) >= 3
    assert all(NOTICE in row for row in rows)


def test_seeds_and_ratios_are_runs_of_their_own(mibench: Command, with_demo: Dataset, plugin: Path) -> None:
    answer = mibench(
        *("run", "--method", f"{plugin}:MyNet", "--weights", "random", "--no-companions", *QUICK),
        *("--seeds", 3, "--ratio", 25, 50, 100),
    )
    assert answer.code == 0, answer.err
    records = [json.loads(file.read_text()) for file in results_folder().rglob("*.json")]
    assert sorted((record["ratio"], record["seed"]) for record in records) == [
        (ratio, seed) for ratio in (0.25, 0.5, 1.0) for seed in range(3)
    ]
    assert len({record["key"] for record in records}) == 9
    for form, sign in (("latex", r"\toprule"), ("markdown", "| Method"), ("html", "<table"), ("csv", "method,")):
        table = mibench("table", "--format", form)
        assert table.code == 0, table.err
        assert sign in table.out
        assert NOTICE in table.out


def test_a_changed_plug_in_is_another_method(mibench: Command, with_demo: Dataset, plugin: Path) -> None:
    """Run in fresh processes, as a user who edits a file between two commands does."""
    command = [*RUN, f"{plugin}:MyNet", "--weights", "random", "--no-companions", *QUICK]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    plugin.write_text(PLUGIN.replace("stride=8", "stride=4"))
    second = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert "done already" not in second.stderr
    assert len(list(results_folder().rglob("*.json"))) == 2


def replica(path: Path, leads: str = "native") -> Path:
    """An ECGFounder-style container (weights, optimiser, numpy scalar) of the full-size network."""
    adapter = ECGFounderAdapter(ECGFounderAdapter.Options(leads=leads))  # type: ignore[arg-type]
    adapter.load(None, torch.device("cpu"))
    assert adapter.net is not None
    state = {**adapter.net.state_dict(), "dense.weight": torch.zeros(150, 1024), "dense.bias": torch.zeros(150)}
    container = {"epoch": 7, "state_dict": state, "optimizer": {"state": {}}, "val_auroc": np.float64(0.9)}
    torch.save(container, path)
    return path


def test_published_weights_are_loaded_registered_and_told(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    file = replica(tmp_path / "1_lead_ECGFounder.pth")
    added = mibench("weights", "add", "ecgfounder", file)
    assert added.code == 0, added.err
    assert "dense" in added.out
    listing = mibench("weights")
    assert "published" in listing.out
    embedded = mibench("embed", "--method", "ecgfounder", "--data", "demo", "--out", tmp_path / "e.npz")
    assert embedded.code == 0, embedded.err
    assert NOTICE in embedded.out
    with np.load(tmp_path / "e.npz") as kept:
        assert kept["embeddings"].shape == (120, 1024)
        assert kept["records"].tolist() == with_demo.records.tolist()
        about = json.loads(str(kept["about"]))
    assert about["weights"]["name"] == "1_lead_ECGFounder.pth"
    run = mibench("run", "--method", "ecgfounder", "--weights", file, "--no-companions", *QUICK)
    assert run.code == 0, run.err
    (record,) = [json.loads(path.read_text()) for path in results_folder().rglob("*.json")]
    assert record["weights"]["sha256"] == about["weights"]["sha256"]
    assert record["weights"]["source"] == "published"
    assert any("batch normalisation" in note for note in record["weights"]["notes"]), "also out of the cache"
    file.write_bytes(file.read_bytes() + b" ")
    changed = mibench("run", "--method", "ecgfounder", "--no-companions")
    assert changed.code == 2
    assert "are gone or changed" in changed.err


def test_twelve_observed_leads_reach_a_twelve_lead_network(
    mibench: Command, with_demo: Dataset, tmp_path: Path
) -> None:
    """The zero-masked row and the real twelve leads are two rows of one method."""
    signals = with_demo.store.read(range(4))
    twelve = ("embed", "--method", "ecgfounder-12lead", "--weights", "random", "--rate", 500)
    for leads, name in (("I", "masked"), ("all", "real")):
        data = signals if leads == "all" else signals[:, :1]
        np.save(tmp_path / f"{name}.npy", data)
        answer = mibench(*twelve, "--npy", tmp_path / f"{name}.npy", "--leads", leads, "--out", tmp_path / name)
        assert answer.code == 0, answer.err
    masked, real = (np.load(tmp_path / name)["embeddings"] for name in ("masked", "real"))
    assert masked.shape == real.shape == (4, 1024)
    assert not np.allclose(masked, real)


def test_own_signals_are_taken_at_their_rate(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "fast.npy", with_demo.store.read(range(3), ["I"])[:, 0])
    np.save(tmp_path / "slow.npy", np.random.default_rng(0).standard_normal((2, 1, 1000)))
    embed = ("embed", "--method", "selfmis", "--weights", "random", *TINY_ARGUMENTS, "--out", tmp_path / "e.npz")
    assert mibench(*embed, "--npy", tmp_path / "fast.npy", "--rate", 500).code == 0
    assert np.load(tmp_path / "e.npz")["embeddings"].shape == (3, 32)
    assert mibench(*embed, "--npy", tmp_path / "slow.npy", "--rate", 100).code == 0
    assert np.load(tmp_path / "e.npz")["embeddings"].shape == (2, 32)


def test_lists_and_facts(mibench: Command, with_demo: Dataset) -> None:
    methods = mibench("methods")
    assert all(name in methods.out for name in ("selfmis", "ecgfounder", "prevalence", "30.65 M", "MIT"))
    shown = mibench("methods", "show", "selfmis", "--preset", "lab_precedent")
    assert "use_bn: true" in shown.out
    assert "No real data is registered" in mibench("data").out
    described = mibench("data", "show", "demo")
    assert "Positives per statement" in described.out
    assert NOTICE in described.out
    assert mibench("data", "verify", "demo").code == 0
    assert "No weights yet" in mibench("weights").out
    assert "mibench" in mibench("doctor").out
    assert mibench("methods", "check", "prevalence").code == 0


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["table"],
        ["pretrain"],
        ["embed"],
        ["data"],
        ["data", "add"],
        ["data", "show"],
        ["data", "verify"],
        ["methods", "check"],
        ["methods", "show"],
        ["weights", "add"],
    ],
)
def test_help_teaches_by_example(mibench: Command, command: list[str]) -> None:
    answer = mibench(*command, "--help")
    assert answer.code == 0
    example = " ".join(["  mibench", *command]) if command else "  mibench run --method selfmis"
    assert example in answer.out


def test_real_data_added_by_path(mibench: Command, ptb_xl_500: Path) -> None:
    added = mibench("data", "add", "ptb-xl", ptb_xl_500, "--workers", 2)
    assert added.code == 0, added.err
    assert "A subset: numbers from it are not comparable" in added.out
    assert "subset of PTB-XL, 500 records" in added.out
    asmi = next(line.split() for line in added.out.splitlines() if line.startswith("ASMI"))
    assert sum(map(int, asmi[1:])) == 30
    assert "500 Hz" in mibench("data").out


def test_a_damaged_data_set_does_not_hide_the_others(mibench: Command, with_demo: Dataset) -> None:
    broken = home() / "data" / "broken"
    broken.mkdir()
    (broken / "dataset.json").write_text("{")
    listing = mibench("data")
    assert listing.code == 0
    assert "demo" in listing.out
    assert "broken" in listing.err


def evil(path: Path) -> Path:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(path.with_suffix(".was-run")),))

    path.write_bytes(pickle.dumps({"state_dict": Evil()}))
    return path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--method", "selfmi"), "did you mean `selfmis`"),
        (("run", "--method", "selfmis", "--weights", "nowhere.pth"), "there is no such file"),
        (("run", "--method", "ecgfounder"), "mibench weights add ecgfounder FILE"),
        (("run", "--method", "selfmis", "--data", "ptb-xl"), "mibench data add ptb-xl"),
        (("run", "--method", "selfmis", "--ratio", "0"), "up to 100; got 0"),
        (("run", "--method", "selfmis", "--leads", "X1"), "there is no lead X1"),
        (("run", "--method", "selfmis", "--device", "cuda:9"), "not available here"),
        (("run", "--method", "selfmis", "--device", "abacus"), "not available here"),
        (("run", "--method", "selfmis", "--preset", "papper_default"), "did you mean `paper_default`"),
        (("run", "--method", "selfmis", "--set", "method.los.t=1"), "did you mean `loss`"),
        (("run", "--method", "selfmis", "--set", "method.loss.t=x"), "must be a number"),
        (("run", "--method", "selfmis", "--set", "protocl.epochs=1"), "did you mean `protocol`"),
        (("run", "--method", "selfmis", "--set", "epochs"), "--set takes section.key=value"),
        (("run", "--method", "selfmis", "--set", "protocol.epochs=0"), "at least 1"),
        (("pretrain", "--method", "ecgfounder"), "has no pre-training in mibench"),
        (("pretrain", "--method", "selfmis", "--init", "x"), "--init takes PART=FILE"),
        (("table",), "makes the first row"),
        (("embed", "--method", "selfmis", "--out", "x.npz"), "either --data NAME or --npy FILE"),
        (("embed", "--method", "selfmis", "--npy", "x.npy", "--out", "x.npz"), "needs --rate"),
        (("embed", "--method", "selfmis", "--npy", "x.npy", "--rate", "500", "--out", "x.npz"), "not a readable .npy"),
        (("data", "add", "ptbxl", "."), "did you mean `ptb-xl`"),
        (("data", "add", "ptb-xl", "/nowhere"), "/nowhere is missing"),
        (("data", "add", "ptb-xl", ".", "--rate", "250"), "250 Hz is neither"),
        (("data", "show", "nothing"), "no data set is called `nothing`"),
        (("methods", "show", "nothing"), "there is no method `nothing`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_and_exit_2(
    mibench: Command, with_demo: Dataset, arguments: tuple[str, ...], says: str
) -> None:
    answer = mibench(*arguments)
    assert answer.code == 2, answer.err
    assert says in answer.err
    assert "Traceback" not in answer.err


def test_foreign_checkpoints_are_refused(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pth"
    empty.touch()
    torch.save({"state_dict": {"layer.weight": torch.zeros(2, 2)}}, tmp_path / "other.pth")
    files = {
        empty: "empty",
        tmp_path / "other.pth": "other.pth",
        replica(tmp_path / "12_lead_ECGFounder.pth", "twelve"): "lead",
        evil(tmp_path / "evil.pth"): "mkdir",
    }
    for file, says in files.items():
        answer = mibench("run", "--method", "ecgfounder", "--weights", file, "--no-companions")
        assert answer.code == 2, answer.err
        assert says in answer.err
        assert file.name in answer.err
        assert "Traceback" not in answer.err
    assert not (tmp_path / "evil.was-run").exists(), "nothing of a file may be run"
    assert not list(results_folder().rglob("*.json")), "a file that does not fit is a question, not a failed run"


def test_unwritable_results_are_said(mibench: Command, with_demo: Dataset, tmp_path: Path, plugin: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.touch()
    arguments = ("run", "--method", f"{plugin}:MyNet", "--weights", "random", "--no-companions", *QUICK)
    answer = mibench(*arguments, "--results", blocked / "results")
    assert answer.code == 2, answer.err
    assert str(blocked) in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_a_full_disk_loses_nothing_and_the_same_command_goes_on(with_demo: Dataset, plugin: Path) -> None:
    """A limit on file sizes stands in for a full disk: the kernel refuses the write in the middle of a file."""
    command = [*RUN, f"{plugin}:MyNet", "--weights", "random", "--no-companions", *QUICK]
    code = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); sys.argv = sys.argv[1:]; "
        "runpy.run_module('mibench.benchmark.cli', run_name='__main__')"
    )
    limited = [sys.executable, "-B", "-c", code, *command[2:]]
    full = subprocess.run(limited, capture_output=True, text=True, timeout=120)
    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    assert not list(results_folder().rglob("*.npz"))
    assert not list(home().rglob("*.tmp"))
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert len(list(results_folder().rglob("*.json"))) == 1


def test_killed_at_any_moment_a_run_leaves_only_whole_files(with_demo: Dataset, plugin: Path) -> None:
    command = [*RUN, f"{plugin}:MyNet", "--weights", "random", "--no-companions", "--seeds", "6", *QUICK]
    for wanted in ("embeddings/*/*/.lock", "*.json"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        place = results_folder() if wanted == "*.json" else home()
        deadline = time.monotonic() + 60
        while process.poll() is None and not list(place.rglob(wanted)) and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for file in results_folder().rglob("*.json"):
            record = json.loads(file.read_text())
            assert (file.parent / record["predictions"]["file"]).is_file()
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert len(list(results_folder().rglob("*.json"))) == 6


def test_two_runs_at_once_on_one_folder(with_demo: Dataset, plugin: Path) -> None:
    command = [*RUN, f"{plugin}:MyNet", "--weights", "random", "--no-companions", "--seeds", "2", *QUICK]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert len(list(results_folder().rglob("*.json"))) == 2


def test_own_signals_never_meet_weights_of_the_demo(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    trained = mibench("pretrain", "--method", "selfmis", *TINY_ARGUMENTS, "--epochs", 1, "--batch-size", 32)
    assert trained.code == 0, trained.err
    np.save(tmp_path / "x.npy", with_demo.store.read(range(2), ["I"]))
    embed = ("embed", "--method", "selfmis", *TINY_ARGUMENTS, "--out", tmp_path / "e.npz")
    refused = mibench(*embed, "--npy", tmp_path / "x.npy", "--rate", 500)
    assert refused.code == 2
    assert "no weights of selfmis are at hand" in refused.err
    assert "pretrained" in mibench(*embed, "--data", "demo").out


def test_a_plug_in_is_embedded_with_what_it_brings(
    mibench: Command, with_demo: Dataset, plugin: Path, tmp_path: Path
) -> None:
    answer = mibench("embed", "--method", f"{plugin}:MyNet", "--data", "demo", "--out", tmp_path / "e.npz")
    assert answer.code == 0, answer.err
    assert "its own" in answer.out


def test_weights_of_an_oddly_named_plug_in_stay_at_home(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    odd = tmp_path / "odd.py"
    odd.write_text(PLUGIN.replace('"my-net"', '"../../my net"'))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "w.pt")
    added = mibench("weights", "add", f"{odd}:MyNet", tmp_path / "w.pt")
    assert added.code == 0, added.err
    assert [file.parent for file in home().rglob("*my_net*.json")] == [home() / "weights"]
    assert "../../my net" in mibench("weights").out
    run = mibench("run", "--method", f"{odd}:MyNet", "--no-companions", *QUICK)
    assert run.code == 0, run.err
    assert "published" in run.out


def test_changed_pretrained_weights_are_refused(mibench: Command, with_demo: Dataset) -> None:
    answer = mibench("pretrain", "--method", "selfmis", *TINY_ARGUMENTS, "--epochs", 1, "--batch-size", 32)
    file = Path(answer.out.splitlines()[0].split(maxsplit=1)[1])
    file.write_bytes(file.read_bytes() + b" ")
    changed = mibench("run", "--method", "selfmis", *TINY_ARGUMENTS, *QUICK, "--no-companions")
    assert changed.code == 2
    assert "are gone or changed" in changed.err


def test_pretrained_weights_are_plain_safetensors(mibench: Command, with_demo: Dataset) -> None:
    answer = mibench("pretrain", "--method", "selfmis", *TINY_ARGUMENTS, "--epochs", 1, "--batch-size", 32)
    assert answer.code == 0, answer.err
    file = Path(answer.out.splitlines()[0].split(maxsplit=1)[1])
    assert "first_conv.conv.weight" in load_file(file)
    listing = mibench("weights")
    assert str(file) in listing.out
    named = mibench("run", "--method", "selfmis", "--weights", file, *TINY_ARGUMENTS, *QUICK, "--no-companions")
    assert "pretrained on demo" in named.out, "named by its path it is still what it is"
