"""Encoders that live in an interpreter of their own: fairseq-signals itself, whose packages no current Python takes.

The network runs in a second process, started once by `load` under the interpreter of `isolated.python`; signals and
features pass between the two as files. An environment for fairseq-signals, made with commands that were seen to work:

    python3.11 -m venv v && v/bin/pip install torch==2.13.0
    v/bin/pip install hydra-core==1.3.2 omegaconf==2.3.0 transformers==4.46.3 numpy cython scipy wfdb pandas \
        scikit-learn sacrebleu regex cffi tqdm setuptools wheel
    git clone https://github.com/Jwoo5/fairseq-signals && cd fairseq-signals && git checkout 6b9e137
    ../v/bin/pip install --no-deps --no-build-isolation --editable ./

and three edits in that checkout: the six dataclass fields of dataclass/configs.py whose default is an instance take a
`default_factory`; dataclass/initialize.py calls it; `is_primitive_type` is called `is_primitive_type_annotation` in
utils/checkpoint_utils.py and dataclass/utils.py. Then

    mibench run --method fairseq-signals --set method.isolated.python=v/bin/python --weights checkpoint.pt

The other program reads the checkpoint with its own reader, which runs what the file tells it to: only use files of
people you trust. `mibench run --method w2v-cmsc` and its siblings read the same files without it.

Another program altogether is reached through `isolated.worker`, a script with a function `load(checkpoint, device)`
that returns a function from (batch, leads, samples) float32 arrays to (batch, embedding_dim) arrays.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from .base import LEADS, LoadReport, MethodSpec, Normalization
from .errors import MibenchError

PYTHON = "MIBENCH_FAIRSEQ_PYTHON"
"""Environment variable with the other interpreter, for those who want no path of their machine in a record."""

WORKER = Path(__file__).with_name("isolated_worker.py")
PACKAGE = "fairseq_signals"
LAST_LINES = 5


@dataclass(frozen=True)
class InterpreterOptions:
    """The other interpreter.

    Attributes:
        python: its path; None takes the environment variable MIBENCH_FAIRSEQ_PYTHON.
        worker: a script with `load(checkpoint, device)`, in place of fairseq-signals.
        timeout_seconds: longest wait for its start, for loading, and for one batch.
    """

    python: str | None = None
    worker: str | None = None
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.timeout_seconds <= 0:
            raise ValueError(f"isolated.timeout_seconds must be positive; got {self.timeout_seconds}")


@dataclass(frozen=True)
class IsolatedOptions:
    """The other interpreter, and what the network in it takes and gives, which only its user knows.

    Attributes:
        leads, sampling_rate, samples, normalization: of its input; "zscore-lead" as the newest published pipeline.
        windows: how many windows of `samples` are averaged over a longer record; 1 takes records of that length.
        embedding_dim: features per record.
        pretraining_data: data sets that the checkpoint has seen.
    """

    isolated: InterpreterOptions = field(default_factory=InterpreterOptions)
    leads: tuple[str, ...] = LEADS
    sampling_rate: float = 500.0
    samples: int = 5000
    normalization: Normalization = "zscore-lead"
    windows: int = 1
    embedding_dim: int = 768
    pretraining_data: tuple[str, ...] = ()


class IsolatedAdapter:
    """A frozen encoder in another process."""

    Options = IsolatedOptions

    def __init__(self, options: IsolatedOptions | None = None) -> None:
        self.options = given = options or IsolatedOptions()
        self._process: WorkerProcess | None = None
        self.spec = MethodSpec(
            name="fairseq-signals",
            title="fairseq-signals",
            leads=given.leads,
            sampling_rate=given.sampling_rate,
            samples=given.samples,
            normalization=given.normalization,
            windows="whole" if given.windows == 1 else "mean-of-windows",
            window_count=given.windows,
            embedding_dim=given.embedding_dim,
            version=_version(given.isolated.worker),
            pretraining_data=given.pretraining_data,
            license="MIT",
            published_weights="huggingface.co/wanglab/ecg-fm",
        )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Start the other interpreter and have it load a checkpoint on `device`.

        Raises:
            MibenchError: no checkpoint, no such interpreter, a package that it lacks, or whatever stops it.
        """
        self.close()
        if weights is None:
            raise MibenchError(
                f"{self.spec.name} has no random weights: the other program builds its network out of a checkpoint; "
                f"give one with --weights FILE"
            )
        if not weights.is_file():
            raise MibenchError(f"there is no weights file {weights}")
        chosen = self.options.isolated
        process = WorkerProcess(_interpreter(chosen.python), chosen.timeout_seconds)
        script = str(Path(chosen.worker).expanduser().absolute()) if chosen.worker else None
        request = {"do": "load", "checkpoint": str(weights.absolute()), "device": str(device), "script": script}
        about = dict(process.ask(request).get("about", {}))
        self._process = process
        versions = ", ".join(f"{name} {about[name]}" for name in ("torch", "python") if name in about)
        note = f"run by {about.get('program', 'another program')} in its own interpreter ({versions})"
        return LoadReport(loaded=int(about.get("tensors", 0)), notes=(note,))

    def embed(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) as `spec` describes -> (batch, embedding_dim) float32, on the device of `ecg`.

        Raises:
            MibenchError: the other program stopped, took too long, or gave features of another shape.
        """
        if self._process is None:
            raise RuntimeError(f"{self.spec.name}: load() comes before embed()")
        features = self._process.embed(ecg.detach().float().cpu().numpy())
        wanted = (len(ecg), self.spec.embedding_dim)
        if features.shape != wanted:
            remedy = f"add --set method.embedding_dim={features.shape[1]}" if features.ndim == 2 else "mend the worker"
            raise MibenchError(
                f"{self.spec.name}: the other program gave features of shape {features.shape} in place of {wanted}: "
                f"{remedy}"
            )
        return torch.from_numpy(features).to(ecg.device)

    def close(self) -> None:
        """End the other interpreter; `load` starts a new one."""
        if self._process is not None:
            self._process.close()
            self._process = None


class WorkerProcess:
    """`isolated_worker.py` under another interpreter, until it is closed, fails, or nobody holds it any more."""

    def __init__(self, python: str, timeout: float) -> None:
        """Start it and wait until it is ready.

        Raises:
            MibenchError: there is no such interpreter, or it does not come up.
        """
        self.python = python
        self.timeout = timeout
        self._folder = tempfile.TemporaryDirectory(prefix="mibench-isolated-")
        self._errors = Path(self._folder.name) / "stderr.txt"
        try:
            with self._errors.open("wb") as errors:
                self._process = subprocess.Popen(
                    [python, str(WORKER)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    encoding="utf-8",
                    errors="replace",
                    cwd=self._folder.name,
                    env={name: value for name, value in os.environ.items() if name != "PYTHONHOME"},
                    # A group of its own: whatever it starts ends with it.
                    start_new_session=True,
                )
        except OSError as problem:
            self._folder.cleanup()
            raise MibenchError(
                f"isolated.python={python} cannot be started ({problem.strerror}): give the path of the other "
                f"interpreter, such as --set method.isolated.python=/path/to/v/bin/python"
            ) from problem
        self.close = weakref.finalize(self, _end, self._process, self._folder)
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pass_on, args=(self._process.stdout, self._lines), daemon=True).start()
        with self._closing_on_failure():
            self._answer("start")

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request and its answer.

        Raises:
            MibenchError: it failed, ended, or took too long; it is closed then.
        """
        with self._closing_on_failure():
            if not self.close.alive:
                raise MibenchError(f"the program under {self.python} has ended before: load the method again")
            # A pipe without a reader is found out by waiting for the answer, with more to say on it.
            with contextlib.suppress(BrokenPipeError):
                assert self._process.stdin is not None
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
            answer = self._answer(request["do"])
            if not answer.get("ok"):
                raise MibenchError(self._refusal(answer))
            return answer

    def embed(self, ecg: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """An array of signals to an array of features.

        Raises:
            MibenchError: as `ask`.
        """
        given, found = (str(Path(self._folder.name) / name) for name in ("signals.npy", "features.npy"))
        with self._closing_on_failure():
            if self.close.alive:
                np.save(given, np.ascontiguousarray(ecg))
            self.ask({"do": "embed", "input": given, "output": found})
            features: np.ndarray[Any, Any] = np.load(found, allow_pickle=False)
        return features

    @contextlib.contextmanager
    def _closing_on_failure(self) -> Iterator[None]:
        # Once an answer was missed, the next one would be taken for another question's.
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _answer(self, what: str) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=self.timeout)
        except queue.Empty:
            raise MibenchError(
                f"the program under {self.python} did not finish to {what} in {self.timeout:g} s and was ended: give "
                f"it longer with --set method.isolated.timeout_seconds={2 * self.timeout:g}{self._last_words()}"
            ) from None
        if line is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
            code = self._process.returncode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            raise MibenchError(f"the program under {self.python} ended during {what} ({how}){self._last_words()}")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise MibenchError(
                f"isolated.python={self.python} does not answer as mibench's worker does; is it a Python interpreter? "
                f"It said: {line.strip()[:200]}"
            )
        return answer

    def _refusal(self, answer: dict[str, Any]) -> str:
        missing = answer.get("missing")
        if missing == PACKAGE:
            return (
                f"fairseq-signals is not installed for {self.python}: install it there, with the commands in "
                f"configs/methods/fairseq-signals.yaml, or name the interpreter that has it with "
                f"--set method.isolated.python=..."
            )
        if missing:
            return f"{self.python} has no package {missing}, which is needed there: install it with its pip"
        return f"the program under {self.python} failed: {answer.get('error')}{self._last_words()}"

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._errors.read_text(encoding="utf-8", errors="replace").splitlines()
            last = collections.deque((line for line in lines if line.strip()), LAST_LINES)
            if last:
                return "; its last words:\n  " + "\n  ".join(last)
        return ""


def _interpreter(python: str | None) -> str:
    chosen = python or os.environ.get(PYTHON)
    if not chosen:
        raise MibenchError(
            f"fairseq-signals runs in an interpreter of its own, and none is named: add --set "
            f"method.isolated.python=/path/to/v/bin/python, or set {PYTHON}; how to make one is told in "
            f"configs/methods/fairseq-signals.yaml"
        )
    # A bare name is looked up as the shell does.
    return str(Path(chosen).expanduser().absolute()) if os.sep in chosen else chosen


def _version(worker: str | None) -> int:
    """Ours, or for a script of the user's a number of its content: a changed script is another method."""
    if worker is None:
        return 1
    path = Path(worker).expanduser()
    if not path.is_file():
        raise MibenchError(f"isolated.worker={worker}: there is no such script")
    return int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:4], "big")


def _pass_on(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    # The pipe may be closed under the reading thread when the process is ended.
    with contextlib.suppress(OSError, ValueError):
        for line in stream:
            lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[str], folder: tempfile.TemporaryDirectory[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
    folder.cleanup()
