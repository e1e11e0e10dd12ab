"""The demo heart: its physics, its cohort, its files, and that it is worth probing."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from numpy.typing import NDArray
from scipy.signal import butter, find_peaks, sosfiltfilt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.demo import DemoOptions, write_demo
from mibench.benchmark.data.demo.cohort import draw_cohort
from mibench.benchmark.data.demo.conditions import CONDITIONS, TERRITORIES, infarcted
from mibench.benchmark.data.demo.electrodes import LEAD_ALGEBRA, LEAD_FIELD, frontal_axis, twelve_leads
from mibench.benchmark.data.demo.heart import normal_heart, qrs_area, turned
from mibench.benchmark.data.demo.simulate import simulate
from mibench.benchmark.data.ptbxl import read_ptbxl
from mibench.benchmark.data.records import read_recording
from mibench.benchmark.ecg import MI_STATEMENTS

Array = NDArray[np.float64]

LEAD_I, LEAD_II = 0, 1


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default demo heart, all 640 records of it."""
    root = tmp_path_factory.mktemp("demo") / "tree"
    write_demo(root)
    return root


@pytest.fixture(scope="module")
def database(demo: Path) -> pd.DataFrame:
    table = pd.read_csv(demo / "ptbxl_database.csv", index_col="ecg_id")
    table["statements"] = [set(ast.literal_eval(codes)) for codes in table["scp_codes"]]
    return table


def read_slow(demo: Path, row: pd.Series) -> Array:
    """The 100 Hz signal of a record, (12, 1000) mV, straight from its bytes."""
    units = np.fromfile(demo / f"{row.filename_lr}.dat", dtype="<i2").reshape(-1, 12).T
    return units / 1000.0


def tree_hash(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# physics


def test_limb_leads_follow_einthoven_and_goldberger_exactly() -> None:
    eight = np.random.default_rng(0).normal(size=(8, 500))
    one, two, three, avr, avl, avf, *chest = twelve_leads(eight)
    assert np.array_equal(three, two - one)
    assert np.array_equal(avr, -(one + two) / 2)
    assert np.array_equal(avl, one - two / 2)
    assert np.array_equal(avf, two - one / 2)
    assert np.array_equal(np.stack([one, two, *chest]), eight)


def test_noise_at_an_electrode_reaches_the_leads_as_the_wiring_says() -> None:
    assert np.allclose(LEAD_ALGEBRA @ np.ones(9), 0.0), "what all electrodes share is in no lead"
    right_arm = LEAD_ALGEBRA @ np.eye(9)[0]
    assert np.allclose(right_arm, [-1, -1, *[-1 / 3] * 6])


def test_written_limb_leads_keep_the_algebra_within_one_unit(demo: Path, database: pd.DataFrame) -> None:
    for name in [*database["filename_hr"][:20], *database["filename_lr"][:20]]:
        units = wfdb.rdrecord(str(demo / name), physical=False).d_signal.T.astype(np.int64)
        expected = twelve_leads(units[[0, 1, 6, 7, 8, 9, 10, 11]].astype(float))
        assert np.abs(units - expected).max() <= 1


def test_turning_the_heart_turns_its_axis() -> None:
    normal, left, right = (
        frontal_axis(LEAD_FIELD, qrs_area(turned(normal_heart(), (0.0, 0.0, angle)))) for angle in (0, -60, 45)
    )
    assert 30 < normal < 75
    assert -90 < left < -10
    assert 90 < right < 150


@pytest.mark.parametrize("statement", MI_STATEMENTS)
def test_an_infarct_points_away_from_its_territory(statement: str) -> None:
    before, after = normal_heart(), infarcted(normal_heart(), statement, "Stadium II", np.random.default_rng(1))
    towards = np.array(TERRITORIES[statement].direction)
    assert after[f"missing {statement}"].vector @ towards < -0.3
    assert (after["T"].vector - before["T"].vector) @ towards < 0
    assert (after["ST"].vector - before["ST"].vector) @ towards > 0


def test_lead_one_sees_some_territories_plainly_and_twelve_leads_see_all() -> None:
    seen = {}
    for name, territory in TERRITORIES.items():
        towards = np.array(territory.direction) / np.linalg.norm(territory.direction)
        seen[name] = np.abs(twelve_leads((LEAD_FIELD @ towards)[:, None])[:, 0])
    assert min(seen[name][LEAD_I] for name in ("LMI", "ALMI")) > 0.5
    assert max(seen[name][LEAD_I] for name in ("IMI", "PMI", "ASMI", "IPMI")) < 0.2
    assert min(view.max() for view in seen.values()) > 0.6


# cohort


def test_every_fold_holds_every_mi_statement_four_times(database: pd.DataFrame) -> None:
    for fold in range(1, 11):
        held = database[database["strat_fold"] == fold]
        assert len(held) == 64
        for statement in MI_STATEMENTS:
            assert sum(statement in found for found in held["statements"]) >= 4


def test_folds_are_disjoint_in_patients_of_whom_some_have_two_records(database: pd.DataFrame) -> None:
    by_patient = database.groupby("patient_id")["strat_fold"]
    assert by_patient.nunique().max() == 1
    sizes = by_patient.size()
    assert sizes.max() == 2
    assert 20 < (sizes == 2).sum() < 150


def test_records_beside_the_infarcts_are_not_all_normal(database: pd.DataFrame) -> None:
    others = [found for found in database["statements"] if not found & set(MI_STATEMENTS)]
    normal = sum("NORM" in found for found in others)
    assert 80 <= normal <= len(others) - 80
    assert set().union(*others) >= {"CLBBB", "CRBBB", "LVH", "ISC_", "NDT", "LAFB", "RVH", *CONDITIONS}


@pytest.mark.parametrize("records", [10, 100, 173, 640])
def test_folds_are_stratified_whatever_the_size(records: int) -> None:
    cohort = draw_cohort(records, root=3)
    assert [visit.ecg_id for visit in cohort] == list(range(1, records + 1))
    for statement in (*MI_STATEMENTS, "NORM"):
        counts = [sum(statement in v.patient.statements for v in cohort if v.patient.fold == f) for f in range(1, 11)]
        assert max(counts) - min(counts) <= 1
        assert min(counts) >= 1 or records < 100


def test_too_few_records_are_refused() -> None:
    with pytest.raises(MibenchError, match="at least 10 records"):
        DemoOptions(records=9)


# files


def test_the_same_options_write_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        write_demo(tmp_path / name, DemoOptions(records=12, seed=seed))
    one, two, other = (tree_hash(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one.keys() == other.keys()
    shared = {name for name in one if one[name] == other[name]}
    assert shared == {"scp_statements.csv"}


def test_signals_of_version_one_stay_what_they_are() -> None:
    """A change here is a change of the model: bump `DemoOptions.version`."""
    signal = twelve_leads(simulate(draw_cohort(20, root=0)[0], root=0).leads)
    assert DemoOptions().version == 1
    assert signal.std(axis=1)[[0, 1, 7, 11]] == pytest.approx([0.06577, 0.16516, 0.17986, 0.13223], abs=1e-4)


def test_sums_name_every_file_and_progress_counts_records(tmp_path: Path) -> None:
    heard: list[int] = []
    write_demo(tmp_path / "tree", DemoOptions(records=10), heard.append)
    assert heard == list(range(1, 11))
    found = tree_hash(tmp_path / "tree")
    lines = (tmp_path / "tree" / "SHA256SUMS.txt").read_text().splitlines()
    assert {name: digest for digest, name in (line.split("  ") for line in lines)} | {
        "SHA256SUMS.txt": found["SHA256SUMS.txt"]
    } == found
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_wfdb_reads_ten_seconds_of_twelve_leads_in_millivolts(demo: Path, database: pd.DataFrame) -> None:
    for name, rate in ((database["filename_hr"].iloc[0], 500), (database["filename_lr"].iloc[0], 100)):
        record = wfdb.rdrecord(str(demo / name))
        assert (record.fs, record.sig_len) == (rate, rate * 10)
        assert record.sig_name == ["I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"]
        assert set(record.units) == {"mV"}
        assert set(record.adc_gain) == {1000.0}


def test_the_reader_of_ptb_xl_reads_it(demo: Path, database: pd.DataFrame) -> None:
    for rate, column in ((500, "filename_hr"), (100, "filename_lr")):
        cohort = read_ptbxl(demo, rate)
        assert cohort.records.tolist() == [str(number) for number in database.index]
        assert cohort.folds.tolist() == database["strat_fold"].tolist()
        assert cohort.labels.any(axis=1).all()
        assert [source.path for source in cohort.sources] == [demo / name for name in database[column]]
    for source in cohort.sources[:20]:
        recording = read_recording(source.path, verify=True)
        assert recording.digital.shape == (12, 1000)
        assert not recording.flat
        assert recording.invalid == 0


def test_amplitudes_are_those_of_an_ecg(demo: Path, database: pd.DataFrame) -> None:
    swings = np.array([np.ptp(read_slow(demo, row), axis=1) for _, row in database.iterrows()])
    assert 0.8 < np.median(swings[:, LEAD_II]) < 2.0
    assert 0.5 < np.median(swings[:, LEAD_I]) < 1.5
    assert swings.max() < 8.0


def test_the_slow_record_is_the_fast_one_filtered(demo: Path, database: pd.DataFrame) -> None:
    row = database.iloc[5]
    fast = wfdb.rdrecord(str(demo / row.filename_hr)).p_signal.T
    slow = read_slow(demo, row)
    smooth = sosfiltfilt(butter(4, 30, fs=500, output="sos"), fast, axis=1)[:, ::5]
    assert np.corrcoef(smooth[LEAD_II], slow[LEAD_II])[0, 1] > 0.97
    assert np.abs(np.median(fast, axis=1) - np.median(slow, axis=1)).max() < 0.02


def test_csv_files_have_the_columns_of_the_real_ones(demo: Path, ptb_xl_500: Path) -> None:
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        ours, real = ((root / name).read_text().splitlines()[0] for root in (demo, ptb_xl_500))
        assert ours == real


def test_diagnostic_statements_are_those_of_ptb_xl(demo: Path, ptb_xl_500: Path) -> None:
    columns = ["diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"]
    ours, real = (pd.read_csv(root / "scp_statements.csv", index_col=0)[columns] for root in (demo, ptb_xl_500))
    assert (ours["diagnostic"] == 1.0).sum() == 44
    assert set(ours.index[ours["diagnostic"] == 1.0]) == set(real.index[real["diagnostic"] == 1.0])
    pd.testing.assert_frame_equal(ours, real.loc[ours.index])


def test_every_code_of_the_database_is_a_known_statement(demo: Path, database: pd.DataFrame) -> None:
    known = set(pd.read_csv(demo / "scp_statements.csv", index_col=0).index)
    assert set().union(*database["statements"]) <= known


# signals worth probing


def r_peaks(lead: Array) -> NDArray[np.int64]:
    """R peaks of one lead at 100 Hz by the energy of its QRS band."""
    energy = sosfiltfilt(butter(2, (8, 25), "bandpass", fs=100, output="sos"), lead) ** 2
    energy = np.convolve(energy, np.ones(12) / 12, "same")
    return find_peaks(energy, height=0.3 * np.quantile(energy, 0.98), distance=40)[0]


def median_beat(signal: Array) -> Array:
    """The median beat (leads, 70) of a 100 Hz record, aligned on lead I alone, its mean removed."""
    beats = [signal[:, peak - 25 : peak + 45] for peak in r_peaks(signal[LEAD_I]) if 25 <= peak <= 955]
    median = np.median(beats, axis=0)
    return median - median.mean(axis=1, keepdims=True)


def probe(beats: Array, labels: NDArray[np.bool_], folds: NDArray[np.int64]) -> dict[str, float]:
    """AUC on fold 10 of each MI statement by logistic regressions trained on folds 1-8."""
    features = beats.reshape(len(beats), -1)
    train, test = folds <= 8, folds == 10
    aucs = {}
    for column, statement in enumerate(MI_STATEMENTS):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
        model.fit(features[train], labels[train, column])
        aucs[statement] = float(roc_auc_score(labels[test, column], model.decision_function(features[test])))
    return aucs


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def test_the_heart_rate_can_be_read_off_the_signal(demo: Path, database: pd.DataFrame) -> None:
    rates = []
    for _, row in database.iterrows():
        intervals = np.diff(r_peaks(read_slow(demo, row)[LEAD_II])) / 100.0
        rates.append(60.0 / np.median(intervals))
    slow = ["SBRAD" in found for found in database["statements"]]
    assert 65 < np.median(rates) < 80
    assert np.mean((np.array(rates) < 60) == slow) > 0.9
    assert np.mean((np.array(rates) > 40) & (np.array(rates) < 130)) > 0.98


def test_twelve_leads_beat_lead_one_beats_chance(demo: Path, database: pd.DataFrame) -> None:
    beats = np.stack([median_beat(read_slow(demo, row)) for _, row in database.iterrows()])
    labels = np.array([[name in found for name in MI_STATEMENTS] for found in database["statements"]])
    folds = database["strat_fold"].to_numpy()

    single, twelve = probe(beats[:, :1], labels, folds), probe(beats, labels, folds)
    shuffled = probe(beats, np.random.default_rng(0).permutation(labels), folds)

    assert mean(shuffled.values()) < 0.62
    assert 0.66 < mean(single.values()) < 0.85
    assert 0.85 < mean(twelve.values()) < 0.98
    assert mean(twelve.values()) > mean(single.values()) + 0.10
    plain, faint = mean(single[s] for s in ("LMI", "ALMI")), mean(single[s] for s in ("IMI", "PMI", "IPMI"))
    assert plain > 0.80
    assert plain > faint + 0.10
    assert min(twelve.values()) > 0.65
