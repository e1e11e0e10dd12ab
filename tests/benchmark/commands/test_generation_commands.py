"""Generators on the command line: run, fid, figure and table, and what is refused in a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mibench.benchmark import results
from mibench.benchmark.data.dataset import Dataset

Command = Callable[..., Any]
TINY = ("--set", "protocol.classifier_preset=tiny")
QUICK = (*TINY, "--set", "protocol.epochs=2", "--set", "protocol.resamples=50", "--no-companions")


def test_from_a_run_to_a_table_a_fid_and_two_figures(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    place = ("--results", tmp_path)
    run = mibench("run", "--method", "fir-ridge", "real-leads", "--train-on", "both", *QUICK, *place)
    assert run.code == 0, run.err
    assert "fitting fir-ridge to folds 1-8 of demo" in run.err
    assert "has no weights here: it is taken with random ones" in run.err
    assert run.out.count("demo data: not a result. Generated twelve leads") == 2, "two boards: trained on real, on made"
    assert "fitted on demo" in run.out
    assert "sees the real leads" in run.out
    assert "Signals and latent space" in run.out
    found = [results.read(file) for file in sorted(tmp_path.rglob("generative-v1/*/*.json"))]
    assert [record["generation"]["classifier"]["trained_on"] for record in found].count("generated") == 2

    table = mibench("table", *place)
    assert table.code == 0, table.err
    assert table.out.count(r"\begin{tabular") >= 2

    fid = mibench("fid", "--method", "fir-ridge", "real-leads", *TINY, *place)
    assert fid.code == 0, fid.err
    assert "fitting" not in fid.err, "what a run has fitted serves here"
    assert "demo data: not a result" in fid.out
    assert list(tmp_path.rglob("latent_fid-v1/real-leads/*.json"))

    record = str(with_demo.records[with_demo.split()["test"][1]])
    paper = ("figure", "generation", "--method", "fir-ridge", "real-leads", "--record", record.lstrip("0"))
    drawn = mibench(*paper, "--out", tmp_path / "paper.png", *place)
    assert drawn.code == 0, drawn.err
    cloud = mibench("figure", "latent", "--method", "fir-ridge", *TINY, "--out", tmp_path / "cloud.pdf", *place)
    assert cloud.code == 0, cloud.err
    assert (tmp_path / "paper.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "cloud.pdf").read_bytes().startswith(b"%PDF")


def test_companions_are_the_anchors_of_generators(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    answer = mibench("run", "--method", "copy-lead", *QUICK[:-1], "--companions", "--results", tmp_path)
    assert answer.code == 0, answer.err
    methods = {file.parent.name for file in tmp_path.rglob("generative-v1/*/*.json")}
    trivial = "zero-mask copy-lead linear-lead fir-ridge frontal-plane shuffled-record noise-matched real-leads"
    assert methods == set(trivial.split())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("run --method copy-lead --leads all", "generators are given lead I"),
        ("run --method copy-lead --set protocol.classifier=ecgfounder", "cannot classify twelve leads"),
        ("run --method copy-lead --classifier-weights nowhere.pth", "there is no such file"),
        ("run --method copy-lead --set protocol.trained_on=neither", "trained_on"),
        ("run --method mcma --preset tiny --weights nowhere.safetensors", "there is no such file"),
        ("fid --method ecgfounder", "it generates nothing"),
        ("figure generation --method copy-lead --record 999999 --out a.png", "has no such record"),
        ("figure generation --method copy-lead --seconds 60 --out a.png", "have 10 s"),
        ("figure latent --method copy-lead --out a.bmp", "png"),
        ("pretrain --method copy-lead", "has no pre-training in mibench"),
        ("pretrain --method noise-matched --set method.like=zero-maks", "did you mean.*zero-mask"),
        ("pretrain --method noise-matched --init other=a.pt", "has no part `other`"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    line: str, says: str, mibench: Command, with_demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = () if line.startswith("pretrain") else TINY if "protocol.classifier=" not in line else ()
    answer = mibench(*line.split(), *options)
    assert answer.code == 2, answer.err + answer.out
    assert "Error: " in answer.err
    assert re.search(says, answer.err), answer.err
    assert "Traceback" not in answer.err


def test_real_data_need_a_trained_classifier(
    mibench: Command, demo_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mibench("data", "add", "ptb-xl", demo_tree, "--name", "mine").code == 0
    answer = mibench("run", "--method", "copy-lead", "--data", "mine", "--results", tmp_path)
    assert answer.code == 2
    assert "mibench weights add ecgfounder-12lead FILE" in answer.err
    assert "--classifier-weights random" in answer.err
