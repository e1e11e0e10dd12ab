"""Latent FID from generators to records and a table, on the small demo heart with a tiny encoder."""

from __future__ import annotations

import copy
import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mibench.adapters.errors import MibenchError
from mibench.benchmark import config, results
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.generated import Classifier, Generated
from mibench.benchmark.protocols import latent_fid
from mibench.benchmark.protocols.latent_fid import FORMATS, Settings, compare, run, table
from mibench.benchmark.weights import Weights
from support import assert_valid, request_of

NONE = Weights("none", "none")
RANDOM = Weights("random", "random", seed=0)
QUICK = Settings(resamples=50, classifier_preset="tiny")
METHODS = ("copy-lead", "real-leads", "shuffled-record")
NOTICE = "demo data: not a result"


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _one_home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are generated and encoded once for all tests here; their results stay apart."""
    monkeypatch.setenv("MIBENCH_HOME", str(shared_home))


@pytest.fixture
def classifier(demo: Dataset, tmp_path: Path) -> Classifier:
    return Classifier(request_of("ecgfounder-12lead", demo, tmp_path, preset="tiny"), RANDOM)


def record_of(method: str, demo: Dataset, classifier: Classifier, folder: Path) -> dict[str, Any]:
    return results.read(run(request_of(method, demo, folder), NONE, classifier, QUICK, 1))


@pytest.fixture
def records(demo: Dataset, classifier: Classifier, tmp_path: Path) -> list[dict[str, Any]]:
    return [record_of(method, demo, classifier, tmp_path) for method in METHODS]


def test_the_defaults_are_those_of_the_protocol_s_file() -> None:
    assert config.protocol(latent_fid.NAME, Settings) == (Settings(), 1)


def test_generators_are_where_they_belong(records: list[dict[str, Any]], demo: Dataset) -> None:
    for record in records:
        assert_valid(record)
        assert record["metrics"] is None
        assert record["generation"]["latent"]["records"] == len(demo.split()["test"])
        assert record["generation"]["classifier"]["weights"] == {
            "source": "random",
            "name": "random",
            "sha256": None,
            "seed": 0,
        }
    copied, real, shuffled = (record["generation"]["latent"] for record in records)
    tiny = 1e-6 * real["total_variance"]
    assert real["fid"] <= tiny
    assert real["paired_distance"] <= tiny
    assert shuffled["fid"] <= tiny, "the same records in another order"
    assert shuffled["paired_distance"] > 0.5 * shuffled["total_variance"]
    assert copied["fid"] > 0.01 * copied["total_variance"]
    assert copied["floor"] == real["floor"] == shuffled["floor"], "the floor is of the real records alone"
    assert [record["generation"]["pass_through"] for record in records] == [True, True, False]


def test_the_figures_are_those_of_the_arrays(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    rows = demo.split()["test"]
    real = np.random.default_rng(0).normal(size=(len(rows), 5)).astype(np.float32)
    made = Generated(rows, 2 * real, {})
    about = compare(request_of("copy-lead", demo, tmp_path), classifier, QUICK, made, real)
    squares = (real.astype(np.float64) ** 2).sum(axis=1)
    assert about["latent"]["paired_distance"] == pytest.approx(squares.mean())
    assert about["latent"]["cosine"] == pytest.approx(1)
    assert about["latent"]["fid_covariance"] == pytest.approx(about["latent"]["total_variance"])
    assert about["classifier"]["preset"] == "tiny"


def test_what_is_done_is_not_done_again(
    demo: Dataset, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of("copy-lead", demo, tmp_path)
    path = run(request, NONE, classifier, QUICK, 1)
    before = path.read_bytes()

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("generated again")

    with monkeypatch.context() as patch:
        patch.setattr(latent_fid, "generated_of", never)
        assert run(request, NONE, classifier, QUICK, 1) == path
    assert path.read_bytes() == before
    forced = results.read(run(replace(request, force=True), NONE, classifier, QUICK, 1))
    assert forced["generation"] == results.read(path)["generation"]
    others = [
        run(request, NONE, classifier, replace(QUICK, pass_through=False), 1),
        run(request, NONE, replace(classifier, weights=Weights("random", "random:1", seed=1)), QUICK, 1),
    ]
    assert len({path, *others}) == 3, "another number has another key"


def test_a_failure_is_recorded_and_mended_by_the_next_run(
    demo: Dataset, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of("copy-lead", demo, tmp_path)
    whole = latent_fid.generated_of

    def broken(*arguments: Any, **options: Any) -> Generated:
        made = whole(*arguments, **options)
        return replace(made, features=np.full_like(made.features, np.nan))

    with monkeypatch.context() as patch:
        patch.setattr(latent_fid, "generated_of", broken)
        with pytest.raises(MibenchError, match="records are not finite"):
            run(request, NONE, classifier, QUICK, 1)
    (file,) = (tmp_path / "demo" / "latent_fid-v1").rglob("*.json")
    failed = results.read(file)
    assert_valid(failed)
    assert failed["status"] == "failed"
    assert "not finite" in failed["error"]
    assert run(request, NONE, classifier, QUICK, 1) == file
    assert results.read(file)["status"] == "done"


def test_the_table_says_all_that_fid_needs_beside_it(records: list[dict[str, Any]]) -> None:
    text = table(records)
    latent = records[0]["generation"]["latent"]
    assert text.index("Copy") > text.index("Real"), "the nearest first"
    assert f"{latent['fid']:.4g}" in text
    assert f"{latent['fid_mean']:.4g} + {latent['fid_covariance']:.4g}" in text
    assert f"Floor: {latent['floor']:.4g} (SD {latent['floor_sd']:.4g})" in text
    assert "overstates" in text
    assert f"{latent['features']} of ecgfounder-12lead (preset tiny), random weights, seed 0" in text
    assert "stands in place of the generated one in " in text
    assert "Fewer than 16 records: FID is not extrapolated" in text, "said once, of all rows"
    with_note = copy.deepcopy(records)
    with_note[0]["generation"]["latent"]["notes"].append("it is a copy")
    assert "\ncopy-lead: it is a copy.\n" in table(with_note)


def test_every_line_with_a_number_says_that_the_demo_is_no_result(records: list[dict[str, Any]]) -> None:
    titles = {record["method"]["title"] for record in records}
    for line in table(records).splitlines():
        bare = line
        for title in titles:
            bare = bare.replace(title, "")
        if any(sign.isdigit() for sign in bare):
            assert NOTICE in line, line


def test_files_are_told_by_the_beginning_of_their_sha256(records: list[dict[str, Any]]) -> None:
    record = copy.deepcopy(records[0])
    digest = "0123456789abcdef" * 4
    record["generation"]["classifier"]["weights"] = {
        "source": "published",
        "name": "12_lead_ECGFounder.pth",
        "sha256": digest,
        "seed": None,
    }
    record["data"]["notice"] = None
    text = table([record])
    assert "published weights, 12_lead_ECGFounder.pth, sha256 0123456789ab." in text
    assert NOTICE not in text


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_every_method(form: str, records: list[dict[str, Any]]) -> None:
    text = table(records, form)
    for record in records:
        assert record["method"]["title"] in text
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        latent = {record["method"]["name"]: record["generation"]["latent"] for record in records}
        for row in rows:
            assert float(row["fid"]) == latent[row["method"]]["fid"]
            assert float(row["cosine_low"]) == latent[row["method"]]["cosine_interval"][0]
            assert row["notice"] == NOTICE
    with pytest.raises(ValueError, match="form must be one of"):
        table(records, "pdf")


def test_other_encoders_have_tables_of_their_own(
    records: list[dict[str, Any]], demo: Dataset, classifier: Classifier, tmp_path: Path
) -> None:
    other = replace(classifier, weights=Weights("random", "random:1", seed=1))
    text = table([*records, record_of("copy-lead", demo, other, tmp_path)])
    assert text.count("Latent FID of generated against real") == 2
    assert "seed 0" in text
    assert "seed 1" in text
    with pytest.raises(MibenchError, match="no latent FID to show"):
        table([])
