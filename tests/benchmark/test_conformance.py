"""The conformance kit: a good adapter passes every check, and for every check there is one that fails just that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nonconforming import (
    BROKEN_ADAPTERS,
    SPEC,
    APart,
    BatchStatistics,
    DropoutInTraining,
    NotPooled,
    RealRecord,
    ScalesWithinTheBatch,
    Small,
    Synthesizer,
    Tiled,
    Tokens,
    TwelveLeads,
    WithOptions,
)
from nonconforming_training import BROKEN_TRAINING, Duelling, MeanLeads, Tuned
from torch import Tensor, nn

from mibench.adapters.base import InputSpec, LoadReport
from mibench.adapters.errors import MibenchError
from mibench.benchmark import checks, training_checks
from mibench.benchmark.bench import PeakMemory, fingerprint, networks, running_modules
from mibench.benchmark.conformance import (
    CHECKS,
    Bench,
    NonconformingError,
    NotApplicable,
    assert_sound,
    run_checks,
)
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.weights import Weights

BROKEN = BROKEN_ADAPTERS + BROKEN_TRAINING
BY_NAME = {check.name: check for check in CHECKS}


@pytest.fixture(scope="module")
def signals() -> np.ndarray:
    """32 records of the demo heart, twelve leads."""
    return Bench(Small()).millivolt


def states(adapter: Any, signals: np.ndarray) -> dict[str, str]:
    return {outcome.check.name: outcome.state for outcome in run_checks(adapter, signals)}


@pytest.mark.parametrize(
    ("adapter", "skipped"),
    [
        (Small, {"options", "tokens", "tune", "training", "fit"}),
        (WithOptions, {"tokens", "tune", "training", "fit"}),
        (TwelveLeads, {"options", "tokens", "tune", "training", "fit"}),
        (Tokens, {"options", "tune", "training", "fit"}),
        (Synthesizer, {"options", "batch", "tokens", "tune", "training", "fit"}),
        (Tiled, {"options", "tokens", "tune", "training", "fit"}),
        (Duelling, {"options", "tokens", "tune", "fit"}),
        (Tuned, {"options", "tokens", "training", "fit"}),
        (MeanLeads, {"options", "frozen", "eval", "memory", "tokens", "tune", "training"}),
        (RealRecord, {"options", "leads", "frozen", "eval", "tokens", "tune", "training", "fit"}),
        (APart, set(BY_NAME) - {"spec", "load"}),
    ],
)
def test_what_is_good_passes(adapter: type[Any], skipped: set[str], signals: np.ndarray) -> None:
    found = run_checks(adapter(), signals)
    assert [outcome.sentence for outcome in found if outcome.state == "failed"] == []
    assert {outcome.check.name for outcome in found if outcome.state == "skipped"} == skipped
    assert [outcome.check for outcome in found] == list(CHECKS)


@pytest.mark.parametrize(
    ("name", "adapter", "says"), BROKEN, ids=[f"{name}-{adapter.__name__}" for name, adapter, _ in BROKEN]
)
def test_every_check_finds_what_it_is_for(name: str, adapter: type[Any], says: str, signals: np.ndarray) -> None:
    bench = Bench(adapter(), signals)
    with pytest.raises(NonconformingError, match=says) as caught:
        BY_NAME[name](bench)
    assert str(caught.value).startswith(f"method {bench.adapter.spec.name}: ")


QUIET = (
    "DriftingParameters",
    "CountingBuffer",
    "HiddenNetwork",
    "InTraining",
    "KeepsGradient",
    "PairsOfRecords",
    "WritesIntoItsInput",
    "ScalesWithinTheBatch",
    "JudgesByTheDuel",
    "TunesACopy",
    "TunesNothing",
    "ErrsLessThanNothing",
)


@pytest.mark.parametrize(("name", "adapter"), [(name, cls) for name, cls, _ in BROKEN if cls.__name__ in QUIET])
def test_a_quiet_fault_is_found_by_its_own_check_alone(name: str, adapter: type[Any], signals: np.ndarray) -> None:
    """Each of these gives right numbers: nothing but the check for it would ever tell."""
    assert [check for check, state in states(adapter(), signals).items() if state == "failed"] == [name]


def test_there_is_a_broken_adapter_for_every_check() -> None:
    assert {name for name, _, _ in BROKEN} | {"leads"} == set(BY_NAME)


def test_an_adapter_that_looks_at_the_other_leads(signals: np.ndarray) -> None:
    bench = Bench(Small(), signals)

    class Peeks(Small):
        """Finds the record by its lead I, and answers from lead II."""

        def embed(self, ecg: Tensor) -> Tensor:
            known = torch.from_numpy(bench.millivolt)
            rows = [int((known[:, 0] - lead).abs().sum(dim=1).argmin()) for lead in ecg[:, 0]]
            return super().embed(known[rows, 1:2])

    before = bench.millivolt.copy()
    bench.adapter = Peeks()
    with pytest.raises(NonconformingError, match="with only lead I observed, the other leads of the record change"):
        BY_NAME["leads"](bench)
    np.testing.assert_array_equal(bench.millivolt, before)


def test_a_method_that_does_not_load_is_asked_nothing_more(signals: np.ndarray) -> None:
    class NeedsAFile(Small):
        def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
            raise FileNotFoundError("net.bin")

    found = states(NeedsAFile(), signals)
    assert found["spec"] == "ok"
    assert found["load"] == "failed"
    assert {state for name, state in found.items() if name not in ("spec", "load")} == {"skipped"}


def test_an_exception_is_a_finding_and_the_rest_goes_on(signals: np.ndarray) -> None:
    class OnlyBatches(Small):
        def embed(self, ecg: Tensor) -> Tensor:
            if len(ecg) == 1:
                raise RuntimeError("expected more than 1 value per channel")
            return super().embed(ecg)

    found = {outcome.check.name: outcome for outcome in run_checks(OnlyBatches(), signals)}
    assert "raised RuntimeError: expected more than 1 value" in found["shape"].sentence
    assert [name for name, outcome in found.items() if outcome.state == "failed"] == ["shape", "batch"]


def test_weights_are_what_is_loaded(tmp_path: Path, signals: np.ndarray) -> None:
    small = Small()
    Weights("random", seed=5).load(small, torch.device("cpu"))
    torch.save(small.net.state_dict(), tmp_path / "w.pt")
    from_file = Bench(Small(), signals, weights=tmp_path / "w.pt")
    same = Bench(Small(), signals, weights=Weights("random", seed=5))
    other = Bench(Small(), signals)
    wanted = same.output(same.observed())
    np.testing.assert_array_equal(from_file.output(from_file.observed()), wanted)
    assert not np.allclose(other.output(other.observed()), wanted)
    assert all(outcome.state != "failed" for outcome in run_checks(from_file))


def test_any_signals_will_do(demo: Dataset, signals: np.ndarray) -> None:
    for given in (demo.store, signals[:3], signals.tolist()[:2], None):
        bench = Bench(Small(), given)
        assert bench.millivolt.shape == (32, 12, 5000)
        assert np.isfinite(bench.output(bench.observed())).all()
    np.testing.assert_array_equal(Bench(Small(), signals[:3]).millivolt[3], signals[0])
    slow = Bench(Small(), signals[:, :, ::5], sampling_rate=100)
    assert slow.output(slow.observed()).shape == (32, 8)
    for wrong in (signals[:, :1], signals[0], signals[:0]):
        with pytest.raises(MibenchError, match=r"are \(records, 12, samples\) in mV"):
            Bench(Small(), wrong).millivolt  # noqa: B018


def test_windows_are_joined_to_records(signals: np.ndarray) -> None:
    bench = Bench(Tiled(), signals)
    assert bench.prepared(bench.observed(slice(2))).shape == (12, 1, 1000)
    made = bench.output(bench.observed(slice(2)))
    assert made.shape == (2, 12, 5000)
    alone = bench.raw(torch.from_numpy(signals[:2, :1])).numpy()
    np.testing.assert_allclose(made[..., 10:800], alone[..., 10:800], atol=1e-6)


def test_a_closed_form_that_starts_from_something_is_skipped(signals: np.ndarray) -> None:
    class OfTheMean(MeanLeads):
        init_parts = ("mean",)

        def fit(self, *_: Any) -> Any:
            raise MibenchError("give it with --init mean=FILE")

    bench = Bench(OfTheMean(), signals)
    with pytest.raises(NotApplicable, match="it starts from mean: give it with"):
        BY_NAME["fit"](bench)
    bench.adapter.init_parts = ()  # type: ignore[union-attr]
    with pytest.raises(MibenchError, match=r"^give it with"):
        BY_NAME["fit"](bench)


def test_a_method_without_lead_one_gets_a_lead_that_it_takes(signals: np.ndarray) -> None:
    class LeadTwo(Small):
        spec = replace(SPEC, leads=("II",))

    bench = Bench(LeadTwo(), signals)
    assert bench.leads == ("II",)
    np.testing.assert_array_equal(bench.observed()[:, 0], signals[:, 1])


def test_the_quick_look_leaves_the_loaded_network_alone(demo: Dataset) -> None:
    cpu = torch.device("cpu")
    small = Small()
    small.load(None, cpu)
    before = small.net
    assert_sound(small, demo.store, ("I",), cpu)
    assert small.net is before

    class Forty(Small):
        def embed(self, ecg: Tensor) -> Tensor:
            return super().embed(ecg) / 0.0

    drawing = Synthesizer()
    drawing.load(None, cpu)
    assert_sound(drawing, demo.store, ("I",), cpu)
    for cls, says in (
        (ScalesWithinTheBatch, "the synthetic ECG of a record depends on the other records of its batch"),
        (Forty, f"embeddings of record {demo.store.records[0]} or its neighbours are not finite"),
        (DropoutInTraining, "two passes over the same records differ"),
        (BatchStatistics, "depends on the other records of its batch"),
        (NotPooled, r"must return \(batch, embedding_dim\)"),
    ):
        broken = cls()
        broken.load(None, cpu)
        with pytest.raises(MibenchError, match=says):
            assert_sound(broken, demo.store, ("I",), cpu)


def test_every_check_says_in_one_line_what_it_is_about() -> None:
    assert len({check.description for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert 20 < len(check.description) < 110
        assert str(check) == check.name
        assert check.look.__module__ in (checks.__name__, training_checks.__name__)


def test_a_check_of_another_kind_is_skipped(signals: np.ndarray) -> None:
    bench = Bench(APart(), signals)
    with pytest.raises(NotApplicable, match="this is a part; the check is for encoders and generators"):
        BY_NAME["shape"](bench)


def test_as_the_tests_of_a_plug_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The example of the module's docstring, run by pytest itself: passes, a failure and skips are told apart."""
    from mibench.benchmark import conformance

    example = (conformance.__doc__ or "").partition("of one's own:\n")[2].partition("\n`Bench`")[0]
    source = "\n".join(line.removeprefix("    ") for line in example.splitlines())
    assert "from my_package.adapter import MyNet" in source
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "adapter.py").write_text(
        "import torch\nfrom mibench.adapters.base import MethodSpec\n"
        "class MyNet:\n"
        "    spec = MethodSpec(name='my-net', embedding_dim=1, sampling_rate=100, samples=1000)\n"
        "    def load(self, weights, device):\n        self.net = torch.nn.Dropout(0.5)\n"
        "    def embed(self, ecg):\n        return self.net(ecg).mean(dim=2)\n"
    )
    (tmp_path / "test_my_net.py").write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    capfd.readouterr()
    quiet = ("-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--rootdir", str(tmp_path))
    code = pytest.main([*quiet, "-c", str(tmp_path / "pytest.ini"), str(tmp_path / "test_my_net.py")])
    ran = capfd.readouterr().out
    assert code == 1
    assert "test_my_net_conforms[repeat]" in ran
    assert "two passes over the same records differ" in ran
    assert "test_my_net_conforms[shape]" not in ran
    assert "5 skipped" in ran


Command = Callable[..., Any]

PLUGIN = """
import torch
from mibench.adapters.base import MethodSpec

class MyNet:
    spec = MethodSpec(name="my-net", sampling_rate=100, samples=1000, embedding_dim=16)

    def load(self, weights, device):
        self.net = torch.nn.Conv1d(1, 16, 64, stride=8).to(device).eval()
        if weights is not None:
            self.net.load_state_dict(torch.load(weights, weights_only=True))

    def embed(self, ecg):
        return self.net(ecg).abs().mean(dim=2)
"""


def test_on_the_command_line(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "my_adapter.py"
    file.write_text(PLUGIN)
    good = mibench("methods", "check", f"{file}:MyNet")
    assert good.code == 0, good.err
    lines = good.out.splitlines()
    assert [line.split()[1] for line in lines[: len(CHECKS)]] == list(BY_NAME)
    assert lines[-2] == "16 of 16 checks passed"
    assert lines[-1] == f"my-net: sound. Next: mibench run --method {file}:MyNet"
    torch.save(nn.Conv1d(1, 16, 64, stride=8).state_dict(), tmp_path / "w.pt")
    assert mibench("methods", "check", f"{file}:MyNet", "--weights", tmp_path / "w.pt").code == 0
    torch.save(nn.Conv1d(1, 16, 32, stride=8).state_dict(), tmp_path / "w.pt")
    unfit = mibench("methods", "check", f"{file}:MyNet", "--weights", tmp_path / "w.pt")
    assert unfit.code == 2
    assert "FAILED  load" in unfit.out
    assert "size mismatch" in unfit.out


def test_on_the_command_line_when_it_fails(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "broken_adapter.py"
    file.write_text(PLUGIN.replace(".eval()", "").replace("my-net", "broken"))
    broken = mibench("methods", "check", f"{file}:MyNet")
    assert broken.code == 2
    assert "FAILED  eval      method broken: Conv1d ran in training mode" in broken.out
    assert "15 of 16 checks passed" in broken.out
    assert "sound" not in broken.out
    assert "broken failed 1 of 16 checks" in broken.err


def test_options_reach_the_method_on_the_command_line(mibench: Command, with_demo: Dataset) -> None:
    tiny = ("method.net.base_filters=8", "method.net.filter_list=[16, 16]", "method.net.m_blocks_list=[1, 1]")
    sets = [word for text in tiny for word in ("--set", text)]
    answer = mibench("methods", "check", "selfmis", *sets, "--preset", "paper_resources")
    assert answer.code == 0, answer.out + answer.err
    assert "18 of 18 checks passed" in answer.out


def test_networks_are_found_wherever_they_are_kept() -> None:
    class Holder:
        shared = nn.Linear(1, 1)

        def __init__(self) -> None:
            self.by_name = {"a": [nn.Linear(1, 2), nn.Linear(2, 1)]}
            self.inner = APart()
            self.inner.load(None, torch.device("cpu"))
            self.around = self
            self.library = torch

    assert set(networks(Holder())) == {"shared", "by_name.a.0", "by_name.a.1", "inner.net"}


def test_a_fingerprint_tells_every_kind_of_number() -> None:
    module = nn.Module()
    for kind in (torch.float32, torch.bfloat16, torch.int64, torch.bool):
        module.register_buffer(f"of_{str(kind)[6:]}", torch.zeros((), dtype=kind))
    before = fingerprint({"m": module})
    assert before == fingerprint({"m": module})
    for name, buffer in module.named_buffers():
        buffer.fill_(1)
        after = fingerprint({"m": module})
        assert [key for key in before if before[key] != after[key]] == [f"m.{name}"]
        before = after


def test_the_hook_on_running_modules_goes_away() -> None:
    inner, outer = nn.Linear(2, 2), nn.Sequential(nn.Dropout())
    with running_modules() as ran:
        inner.eval()(torch.ones(1, 2))
        outer(torch.ones(1, 2))
    assert {type(module).__name__: training for module, training in ran.items()} == {
        "Linear": False,
        "Sequential": True,
        "Dropout": True,
    }
    nn.Linear(2, 2)(torch.ones(1, 2))
    assert len(ran) == 3


def test_peak_memory_counts_what_is_alive_together() -> None:
    mega = 1_000_000
    with torch.inference_mode(), PeakMemory() as one_by_one:
        for _ in range(5):
            torch.zeros(mega)
    assert one_by_one.peak == 4 * mega
    with torch.inference_mode(), PeakMemory() as together:
        kept = [torch.zeros(mega) for _ in range(5)]
        views = [tensor.view(1000, 1000).T for tensor in kept]
        views[0].add_(1)
    assert together.peak == 20 * mega
    given = torch.zeros(mega)
    with torch.inference_mode(), PeakMemory() as of_given:
        given.add_(1)
        given[:10].clone()
    assert of_given.peak == 40


def test_a_part_is_checked_for_loading_only(signals: np.ndarray) -> None:
    class BrokenPart(APart):
        def load(self, weights: Path | None, device: torch.device) -> None:
            raise MibenchError("the codebook is missing")

    assert "the codebook is missing" in {o.check.name: o.sentence for o in run_checks(BrokenPart(), signals)}["load"]


def test_views_of_input_specs_are_no_networks() -> None:
    """Dataclasses and plain values inside an adapter are walked through without harm."""

    class Adapter(Small):
        views = {"whole": InputSpec()}

    assert networks(Adapter()) == {}
