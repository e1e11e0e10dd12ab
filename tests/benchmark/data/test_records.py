"""Reading WFDB records: the same samples as the wfdb package, and a clear sentence for anything that is wrong."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.header import parse_header
from mibench.benchmark.data.records import read_recording, write_recording
from mibench.benchmark.ecg import LEADS

SAMPLES = 240


@pytest.fixture
def ecg() -> npt.NDArray[np.float64]:
    """Twelve leads of a random walk in mV, on the grid of 1000 units per mV."""
    steps = np.random.default_rng(5).integers(-9, 10, size=(12, SAMPLES))
    return np.cumsum(steps, axis=1) / 1000


@pytest.fixture
def record(tmp_path: Path, ecg: npt.NDArray[np.float64]) -> Path:
    """A good record at 100 Hz."""
    write_recording(tmp_path / "rec", ecg, 100)
    return tmp_path / "rec"


def header_text(record: Path) -> str:
    return record.with_suffix(".hea").read_text()


def rewrite(record: Path, old: str, new: str, count: int = -1) -> None:
    text = header_text(record)
    assert old in text
    record.with_suffix(".hea").write_text(text.replace(old, new, count))


def refused(record: Path, *words: str) -> None:
    """Reading ends in one sentence that names the record and says what is wrong."""
    with pytest.raises(MibenchError) as caught:
        read_recording(record)
    message = str(caught.value)
    assert str(record) in message
    for word in words:
        assert word in message
    assert "\n" not in message


def write_with_wfdb(folder: Path, digital: npt.NDArray[np.int64], storage: str, **options: object) -> Path:
    fields = {"adc_gain": [1000.0] * 12, "baseline": [0] * 12, **options}
    wfdb.wrsamp(
        "rec",
        fs=100,
        units=["mV"] * 12,
        sig_name=list(LEADS),
        d_signal=digital.T.copy(),
        fmt=[storage] * 12,
        write_dir=str(folder),
        **fields,
    )
    return folder / "rec"


@pytest.mark.parametrize(("folder", "rate", "every"), [("records100", 100, 1), ("records500", 500, 5)])
def test_real_records_are_read_as_by_the_wfdb_package(ptb_xl_500: Path, folder: str, rate: int, every: int) -> None:
    headers = sorted((ptb_xl_500 / folder).glob("*/*.hea"))[::every]
    assert len(headers) == 500 // every
    for header in headers:
        path = header.with_suffix("")
        theirs = wfdb.rdrecord(str(path), physical=False)
        ours = read_recording(path)
        assert [name.upper() for name in LEADS] == theirs.sig_name
        np.testing.assert_array_equal(ours.digital, theirs.d_signal.T)
        np.testing.assert_array_equal(ours.gain, theirs.adc_gain)
        np.testing.assert_array_equal(ours.baseline, theirs.baseline)
        assert ours.sampling_rate == theirs.fs == rate
        assert ours.digital.dtype == np.int16


def test_a_real_record_is_written_back_byte_for_byte(ptb_xl_500: Path, tmp_path: Path) -> None:
    original = ptb_xl_500 / "records500" / "00000" / "00001_hr"
    recording = read_recording(original)
    write_recording(tmp_path / original.name, recording.digital / 1000.0, 500)
    for suffix in (".hea", ".dat"):
        written = (tmp_path / original.name).with_suffix(suffix).read_bytes()
        assert written.split() == original.with_suffix(suffix).read_bytes().split()
    assert (tmp_path / "00001_hr.dat").read_bytes() == original.with_suffix(".dat").read_bytes()


@settings(max_examples=40, deadline=None)
@given(
    digital=arrays(np.int16, st.tuples(st.just(12), st.integers(1, 40)), elements=st.integers(-32767, 32767)),
    order=st.permutations(LEADS),
    gains=st.lists(st.sampled_from([200.0, 204.8, 1000.0, 4880.0, -500.0]), min_size=12, max_size=12),
    baselines=st.lists(st.integers(-3000, 3000), min_size=12, max_size=12),
)
def test_any_gain_baseline_and_order_reads_as_by_the_wfdb_package(
    tmp_path_factory: pytest.TempPathFactory,
    digital: npt.NDArray[np.int16],
    order: list[str],
    gains: list[float],
    baselines: list[int],
) -> None:
    record = tmp_path_factory.mktemp("order") / "rec"
    write_recording(record, digital, 100, gain=1, leads=order)
    lines = header_text(record).splitlines()
    for number, (gain, baseline) in enumerate(zip(gains, baselines, strict=True), start=1):
        lines[number] = lines[number].replace("1.0(0)/mV", f"{gain}({baseline})/mV")
    record.with_suffix(".hea").write_text("\n".join(lines))
    ours = read_recording(record)
    theirs = wfdb.rdrecord(str(record))
    position = [order.index(lead) for lead in LEADS]
    millivolt = (ours.digital - ours.baseline[:, None]) / ours.gain[:, None]
    np.testing.assert_allclose(millivolt, theirs.p_signal.T[position], rtol=1e-12)
    np.testing.assert_array_equal(ours.digital, digital[position])


@settings(max_examples=40, deadline=None)
@given(
    millivolt=arrays(
        np.float64,
        st.tuples(st.just(12), st.integers(1, 30)),
        elements=st.one_of(st.floats(-32, 32), st.just(float("nan"))),
    )
)
def test_written_millivolts_come_back(
    tmp_path_factory: pytest.TempPathFactory, millivolt: npt.NDArray[np.float64]
) -> None:
    record = tmp_path_factory.mktemp("round") / "rec"
    write_recording(record, millivolt, 500)
    back = read_recording(record)
    assert back.invalid == np.isnan(millivolt).sum()
    np.testing.assert_allclose(back.digital / 1000, np.nan_to_num(millivolt), atol=0.0005001)
    assert wfdb.rdrecord(str(record), physical=False).d_signal.shape == millivolt.T.shape


@pytest.mark.parametrize("storage", ["80", "212", "24", "32", "508", "516", "524"])
def test_other_formats_go_through_the_wfdb_package(tmp_path: Path, storage: str) -> None:
    limit = {"80": 120, "508": 120}.get(storage, 2000)
    digital = np.random.default_rng(2).integers(-limit, limit, size=(12, SAMPLES))
    record = write_with_wfdb(tmp_path, digital, storage, baseline=list(range(12)))
    ours = read_recording(record)
    np.testing.assert_array_equal(ours.digital, digital)
    np.testing.assert_array_equal(ours.baseline, np.arange(12))
    assert (ours.invalid, ours.flat, ours.sampling_rate) == (0, (), 100)


@pytest.mark.parametrize(("storage", "marker"), [("212", -(2**11)), ("24", -(2**23)), ("32", -(2**31))])
def test_each_format_has_its_own_missing_sample(tmp_path: Path, storage: str, marker: int) -> None:
    digital = np.random.default_rng(3).integers(-900, 900, size=(12, SAMPLES))
    digital[4, 10:20] = marker
    ours = read_recording(write_with_wfdb(tmp_path, digital, storage, baseline=[7] * 12))
    assert ours.invalid == 10
    assert (ours.digital[4, 10:20] == 7).all()
    np.testing.assert_array_equal(np.delete(ours.digital, 4, axis=0), np.delete(digital, 4, axis=0))


@pytest.mark.parametrize("storage", ["212", "24"])
def test_checksums_hold_for_other_formats_too(tmp_path: Path, storage: str) -> None:
    digital = np.random.default_rng(3).integers(-900, 900, size=(12, SAMPLES))
    record = write_with_wfdb(tmp_path, digital, storage)
    damaged = bytearray(record.with_suffix(".dat").read_bytes())
    damaged[300] ^= 4
    record.with_suffix(".dat").write_bytes(damaged)
    refused(record, "wrong checksum", "copy or download")


def test_samples_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    digital = np.random.default_rng(3).integers(-900, 900, size=(12, SAMPLES))
    digital[2, 5] = 70000
    refused(write_with_wfdb(tmp_path, digital, "24"), "70000", "16 bits")


def test_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    record = write_with_wfdb(tmp_path, np.random.default_rng(3).integers(-900, 900, size=(12, SAMPLES)), "516")
    record.with_name("rec_2.dat").write_bytes(b"fLaC" + bytes(200))
    refused(record, "wfdb package cannot read it")
    record.with_name("rec_2.dat").unlink()
    with pytest.raises(MibenchError, match=r"rec_2\.dat: the file is missing"):
        read_recording(record)


def test_byte_offset_several_files_and_no_length(record: Path) -> None:
    plain = read_recording(record)
    samples = record.with_suffix(".dat").read_bytes()

    record.with_suffix(".dat").write_bytes(b"24 bytes that are no ECG" + samples)
    rewrite(record, "dat 16 ", "dat 16+24 ")
    np.testing.assert_array_equal(read_recording(record).digital, plain.digital)

    record.with_suffix(".dat").write_bytes(samples)
    rewrite(record, "dat 16+24 ", "dat 16 ")
    rewrite(record, f" 100 {SAMPLES}\n", " 100\n")
    np.testing.assert_array_equal(read_recording(record).digital, plain.digital)

    frames = np.frombuffer(samples, "<i2").reshape(-1, 12)
    record.with_name("first.dat").write_bytes(frames[:, :5].tobytes())
    record.with_name("second.dat").write_bytes(frames[:, 5:].tobytes())
    rewrite(record, " 100\n", f" 100 {SAMPLES}\n")
    rewrite(record, "rec.dat", "first.dat", 5)
    rewrite(record, "rec.dat", "second.dat")
    np.testing.assert_array_equal(read_recording(record).digital, plain.digital)


def test_several_samples_per_frame_are_a_higher_rate(record: Path) -> None:
    plain = read_recording(record)
    leads = plain.digital.reshape(12, SAMPLES // 2, 2)
    record.with_suffix(".dat").write_bytes(leads.transpose(1, 0, 2).astype("<i2").tobytes())
    rewrite(record, "dat 16 ", "dat 16x2 ")
    rewrite(record, f" 100 {SAMPLES}\n", f" 50 {SAMPLES // 2}\n")
    ours = read_recording(record)
    assert ours.sampling_rate == 100
    np.testing.assert_array_equal(ours.digital, plain.digital)


def write_segments(folder: Path, ecg: npt.NDArray[np.float64], gains: tuple[float, float]) -> Path:
    write_recording(folder / "rec_1", ecg[:, :100], 100, gain=gains[0])
    write_recording(folder / "rec_2", ecg[:, 100:], 100, gain=gains[1])
    (folder / "rec.hea").write_text(f"rec/2 12 100 {SAMPLES}\nrec_1 100\nrec_2 {SAMPLES - 100}\n")
    return folder / "rec"


def test_segments_are_joined(tmp_path: Path, ecg: npt.NDArray[np.float64]) -> None:
    record = write_segments(tmp_path, ecg, (1000, 1000))
    np.testing.assert_allclose(read_recording(record).digital / 1000, ecg, atol=1e-9)
    samples = bytearray(record.with_name("rec_2.dat").read_bytes())
    samples[50] ^= 1
    record.with_name("rec_2.dat").write_bytes(samples)
    with pytest.raises(MibenchError, match=r"rec_2\.hea: wrong checksum in II"):
        read_recording(record)


def test_gaps_between_segments_are_missing(tmp_path: Path, ecg: npt.NDArray[np.float64]) -> None:
    record = write_segments(tmp_path, ecg, (1000, 1000))
    (tmp_path / "rec.hea").write_text(
        f"rec/4 12 100 {SAMPLES + 10}\nrec_layout 0\nrec_1 100\n~ 10\nrec_2 {SAMPLES - 100}\n"
    )
    signals = "".join(f"~ 0 1000.0(0)/mV 16 0 0 0 0 {lead.upper()}\n" for lead in LEADS)
    (tmp_path / "rec_layout.hea").write_text("rec_layout 12 100 0\n" + signals)
    ours = read_recording(record)
    whole = np.concatenate([ecg[:, :100], np.zeros((12, 10)), ecg[:, 100:]], axis=1)
    np.testing.assert_allclose(ours.digital / 1000, whole, atol=1e-9)
    assert ours.invalid == 12 * 10


def test_segments_that_disagree_are_refused(tmp_path: Path, ecg: npt.NDArray[np.float64]) -> None:
    write_segments(tmp_path, ecg, (1000, 500))
    with pytest.raises(MibenchError, match="changes its gain"):
        read_recording(tmp_path / "rec")
    (tmp_path / "rec_2.hea").unlink()
    with pytest.raises(MibenchError, match=r"rec_2\.hea: the file is missing"):
        read_recording(tmp_path / "rec")


def test_missing_samples_become_zero_millivolt_and_are_counted(tmp_path: Path, ecg: npt.NDArray[np.float64]) -> None:
    ecg[3, 7:9] = np.nan
    ecg[11] = np.nan
    write_recording(tmp_path / "rec", ecg, 100)
    rewrite(tmp_path / "rec", "1000.0(0)/mV", "1000.0(-40)/mV")
    ours = read_recording(tmp_path / "rec")
    assert ours.invalid == SAMPLES + 2
    assert (ours.digital[3, 7:9] == -40).all()
    assert (ours.digital[11] == -40).all()
    assert ours.flat == ("V6",)


def test_flat_leads_are_named(tmp_path: Path, ecg: npt.NDArray[np.float64]) -> None:
    ecg[[0, 5]] = 0.25
    write_recording(tmp_path / "rec", ecg, 100)
    assert read_recording(tmp_path / "rec").flat == ("I", "aVF")


@pytest.mark.parametrize(
    ("written", "gain", "baseline"),
    [
        ("1000.0(0)/mV 16 0", 1000.0, 0),
        ("1000/mV 16 30", 1000.0, 30),
        ("1000(-5) 16 30", 1000.0, -5),
        ("2(7)/uV 16 0", 2000.0, 7),
        ("2/\N{MICRO SIGN}V 16 0", 2000.0, 0),
        ("5e5/V 16 0", 500.0, 0),
        ("0 16 12", 200.0, 12),
        ("0/uV 16 12", 200000.0, 12),
    ],
)
def test_units_defaults_and_adc_zero(record: Path, written: str, gain: float, baseline: int) -> None:
    rewrite(record, "1000.0(0)/mV 16 0", written)
    ours = read_recording(record)
    assert (ours.gain == gain).all()
    assert (ours.baseline == baseline).all()


def test_a_gain_left_out_is_200(record: Path) -> None:
    signals, names = zip(*(line.rsplit(" ", 1) for line in header_text(record).splitlines()[1:]), strict=True)
    assert len(signals) == 12
    header = parse_header(b"rec 12 100\n" + b"rec.dat 16\n" * 12, "rec.hea")
    assert {(signal.gain, signal.baseline) for signal in header.signals()} == {(200.0, 0)}
    assert [name.upper() for name in LEADS] == list(names)
    with pytest.raises(MibenchError, match="no name"):
        header.layout()


def test_comments_blank_lines_and_windows_line_ends(record: Path) -> None:
    plain = read_recording(record)
    text = "# made by hand\n\n" + header_text(record) + "# <age>: 56\n"
    record.with_suffix(".hea").write_bytes(text.replace("\n", "\r\n").encode())
    np.testing.assert_array_equal(read_recording(record).digital, plain.digital)


def test_leads_are_found_by_name_whatever_the_case(record: Path) -> None:
    plain = read_recording(record)
    rewrite(record, " AVR\n", " aVr\n")
    rewrite(record, " V6\n", " v6\n")
    np.testing.assert_array_equal(read_recording(record).digital, plain.digital)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (" V3\n", " V9\n", ["unknown lead V9", "mibench reads"]),
        (" V3\n", " V2\n", ["V2", "more than once"]),
        (" V3\n", "\n", ["unknown lead (no name)"]),
        ("/mV", "/mmHg", ["mmHg", "mV, uV and V"]),
        ("dat 16 ", "dat sixteen ", ["storage format 'sixteen'"]),
        ("1000.0(0)", "fast(0)", ["gain 'fast(0)/mV'"]),
        (" 100 ", " -3 ", ["sampling rate '-3'"]),
        (" 100 ", " nan ", ["sampling rate 'nan'"]),
        (" 240\n", " many\n", ["length 'many'"]),
        ("rec 12 ", "rec twelve ", ["number of signals"]),
        ("rec 12 ", "rec 13 ", ["should have 13 lines after the first and has 12"]),
        ("rec.dat", "../rec.dat", ["'../rec.dat'", "not a file beside it"]),
        ("rec.dat", "other.dat", ["other.dat: the file is missing", "copy or download"]),
        (" 240\n", " 241\n", ["truncated", "241 samples"]),
        ("dat 16 ", "dat 99 ", ["wfdb package cannot read it"]),
    ],
)
def test_bad_headers_are_refused(record: Path, old: str, new: str, words: list[str]) -> None:
    rewrite(record, old, new)
    with pytest.raises(MibenchError) as caught:
        read_recording(record)
    assert str(record.parent) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_eleven_leads_are_refused_by_name(tmp_path: Path, ecg: npt.NDArray[np.float64]) -> None:
    write_recording(tmp_path / "rec", np.delete(ecg, 4, axis=0), 100, leads=[lead for lead in LEADS if lead != "aVL"])
    refused(tmp_path / "rec", "11 leads instead of 12", "aVL missing")


@pytest.mark.parametrize("content", [b"", b"\n# nothing\n", bytes(range(256)) * 4, b"\x00" * 50, b"rec", b"rec 12"])
def test_garbage_headers_are_refused(record: Path, content: bytes) -> None:
    record.with_suffix(".hea").write_bytes(content)
    refused(record, "header")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_spoilt_header_never_ends_in_anything_but_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    record = tmp_path_factory.mktemp("spoilt") / "rec"
    write_recording(record, np.zeros((12, 4)), 100)
    text = record.with_suffix(".hea").read_bytes()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    # No digits: they would only make another valid header, perhaps of terabytes.
    filling = bytes(byte for byte in data.draw(st.binary(max_size=6)) if byte not in b"0123456789")
    record.with_suffix(".hea").write_bytes(text[:start] + filling + text[end:])
    with suppress(MibenchError):
        read_recording(record)


@pytest.mark.parametrize("left", [0, 1, 24 * SAMPLES - 1])
def test_truncated_signal_files_are_refused(record: Path, left: int) -> None:
    samples = record.with_suffix(".dat").read_bytes()
    record.with_suffix(".dat").write_bytes(samples[:left])
    refused(record, "truncated", f"{left} bytes", "copy or download")


def test_missing_files_are_refused(record: Path) -> None:
    record.with_suffix(".dat").unlink()
    refused(record, "rec.dat: the file is missing")
    record.with_suffix(".hea").unlink()
    refused(record, "rec.hea: the file is missing")


def test_a_folder_in_place_of_a_file_is_refused(record: Path) -> None:
    record.with_suffix(".dat").unlink()
    record.with_suffix(".dat").mkdir()
    refused(record, "cannot be read")


def test_a_wrong_checksum_is_refused_unless_not_asked_for(record: Path) -> None:
    samples = bytearray(record.with_suffix(".dat").read_bytes())
    samples[2 * 7] ^= 1
    record.with_suffix(".dat").write_bytes(samples)
    refused(record, "wrong checksum in V2", "damaged")
    assert read_recording(record, verify=False).digital.shape == (12, SAMPLES)


def test_checksums_may_be_negative_or_absent(record: Path) -> None:
    lines = header_text(record).splitlines()
    fields = lines[1].split()
    lines[1] = " ".join([*fields[:6], str(int(fields[6]) - 65536), *fields[7:]])
    record.with_suffix(".hea").write_text("\n".join(lines))
    read_recording(record)
    rewrite(record, fields[1] + " 1000.0(0)/mV", fields[1] + " 999.0(0)/mV", 1)
    assert read_recording(record).gain[0] == 999


def test_writing_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="12 leads"):
        write_recording(tmp_path / "rec", np.zeros((11, 5)), 100)
    with pytest.raises(ValueError, match="16 bits"):
        write_recording(tmp_path / "rec", np.full((12, 5), 33.0), 100)
    assert not list(tmp_path.iterdir())
