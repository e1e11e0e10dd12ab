"""The contract between the benchmark and any method: what a method says of itself, and what it can do.

Nothing here needs torch at run time, so listing methods and reading results stay quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

LEADS: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve standard leads in the standard order; every array of leads in mibench follows it."""

Normalization = Literal["zscore-lead", "zscore-record", "none"]
Windows = Literal["whole", "mean-of-windows", "random-window", "tiled"]
Tail = Literal["shift", "repeat", "zeros"]
Sees = Literal["observed", "record", "another-record"]
Kind = Literal["encoder", "generator", "part"]
Negatives = Literal["local", "global"]


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a network takes. `adapters.signal.prepare` turns recorded millivolts into exactly this.

    Attributes:
        leads: names of the leads in the order of the network's channels.
        sampling_rate: Hz.
        samples: length of one window at `sampling_rate`.
        normalization: "zscore-lead" scales every lead by itself, "zscore-record" all observed leads together,
            "none" leaves millivolts.
        windows: "whole" takes records of exactly `samples`; "mean-of-windows" cuts `window_count` equally spaced
            windows out of a longer record and averages what the network says of them; "random-window", for training
            only, cuts one window at a start drawn anew for each record from torch's generator; "tiled" cuts a record
            into windows from its beginning to its end, which `adapters.signal.join` puts together again.
        tail: under "tiled", what becomes of an end that fills no window: "shift" moves the last window back, so that it
            ends with the record; "repeat" appends the last samples once more; "zeros" appends silence.
        overlap: under "tiled", samples that neighbouring windows share; what is made of them is cross-faded.
        window_count: number of windows under "mean-of-windows".
        filter: name of a filter of `adapters.filters`, applied to each window before it is normalised.
    """

    leads: tuple[str, ...] = ("I",)
    sampling_rate: float = 500.0
    samples: int = 5000
    normalization: Normalization = "zscore-lead"
    windows: Windows = "whole"
    window_count: int = 1
    filter: str = "none"
    tail: Tail = "shift"
    overlap: int = 0

    def __post_init__(self) -> None:
        unknown = [lead for lead in self.leads if lead not in LEADS]
        if unknown or not self.leads or len(set(self.leads)) != len(self.leads):
            raise ValueError(f"leads must be distinct names out of {', '.join(LEADS)}; got {self.leads!r}")
        if self.sampling_rate <= 0 or self.samples <= 0 or self.window_count < 1:
            raise ValueError("sampling_rate, samples and window_count must be positive")
        if self.windows != "mean-of-windows" and self.window_count != 1:
            raise ValueError('window_count belongs to windows="mean-of-windows"')
        if not 0 <= self.overlap <= self.samples // 2 or (self.overlap and self.windows != "tiled"):
            raise ValueError('overlap belongs to windows="tiled" and is at most half a window')

    @property
    def seconds(self) -> float:
        """Length of one window in seconds."""
        return self.samples / self.sampling_rate


@dataclass(frozen=True, kw_only=True)
class MethodSpec(InputSpec):
    """What a method says of itself; every field that changes its outputs is part of each cache and result key.

    Attributes:
        name: the name on the command line and in every record, such as "selfmis".
        kind: "encoder" (features for a linear probe), "generator" (lead I to twelve leads), or "part" (what another
            method's pre-training starts from, and nothing by itself).
        title: the name in tables; `name` when empty.
        embedding_dim: features per record, None for a generator.
        version: bumped whenever outputs change.
        pretraining_data: data sets that the published weights have seen: the honest record of leakage.
        needs_weights: False for an anchor that has none to load.
        pretrainable: True when the adapter also satisfies `Pretrainable`.
        weights_of: the method whose published files and pre-trainings this one uses, its own when empty: a variant
            that reads the same tensors another way.
        sees: of a generator: "observed" is lead I and nothing else. Two kinds of anchors see more: "record" is given
            the real twelve leads of the record, "another-record" those of another patient of the same fold.
        paper, license, published_weights: where the method comes from, and where its published weights live.
    """

    name: str
    kind: Kind = "encoder"
    title: str = ""
    embedding_dim: int | None = None
    version: int = 1
    pretraining_data: tuple[str, ...] = ()
    needs_weights: bool = True
    pretrainable: bool = False
    weights_of: str = ""
    sees: Sees = "observed"
    paper: str = ""
    license: str = ""
    published_weights: str = ""

    def identity(self) -> dict[str, Any]:
        """The fields that determine outputs, as JSON-able values: prose about the method is left out."""
        prose = {"title", "paper", "license", "published_weights", "pretraining_data", "needs_weights", "pretrainable"}
        # Whose file it was does not matter: the file is in every key by its content.
        prose.add("weights_of")
        # Left out where they say nothing, so that keys stay what they were before there were generators.
        prose |= {"tail", "overlap"} if self.windows != "tiled" else set()
        prose |= {"sees"} if self.sees == "observed" else set()
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if key not in prose
        }


@dataclass(frozen=True)
class LoadReport:
    """What loading a weights file found, for the run's record.

    Attributes:
        loaded: number of tensors taken from the file.
        dropped: names in the file that were left out on purpose (a pre-training head, an optimiser's state).
        notes: sentences worth showing to the user.
    """

    loaded: int = 0
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class Encoder(Protocol):
    """A discriminative method: a frozen feature extractor."""

    spec: MethodSpec

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        """Build the network on `device`, from a weights file or, for None, from torch's current random state."""

    def embed(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) as `spec` describes -> (batch, embedding_dim), without gradient."""


@runtime_checkable
class Generator(Protocol):
    """A generative method: lead I in, twelve leads out."""

    spec: MethodSpec

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        """Build the network on `device`, from a weights file or, for None, from torch's current random state."""

    def synthesize(self, lead: Tensor) -> Tensor:
        """(batch, leads, samples) as `spec` describes -> (batch, 12, samples) in mV, in the order of `LEADS`.

        `leads` is 1, lead I, but for anchors that see more. Without gradient; a draw comes from torch's generator.
        """


@runtime_checkable
class Tokenizing(Protocol):
    """A method whose network reads tokens that are cut out of the signal once, kept, and used in every pass.

    Tokens are arrays by name, each (batch, positions, ...) on the CPU; what is zero in all of them from some position
    on is padding. They depend on the signal and on `tokenizer`, never on weights or on the other records. Pre-training
    takes one view, and its objective is given the tokens by their names in place of the signal.

    Attributes:
        tokenizer: what determines the tokens, beside the signal and its preparation; JSON-able.
    """

    tokenizer: Mapping[str, Any]

    def tokenize(self, ecg: Tensor) -> dict[str, Tensor]:
        """(batch, leads, samples) as `spec` or a view describes -> tokens by name."""


@runtime_checkable
class Tokenizer(Encoder, Tokenizing, Protocol):
    """An encoder of tokens; `embed` is `tokenize`, then `embed_tokens`."""

    def embed_tokens(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Tokens on the network's device -> (batch, embedding_dim), without gradient."""


@runtime_checkable
class Part(Protocol):
    """What another method's pre-training starts from: it loads, and has nothing to measure."""

    spec: MethodSpec

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        """Build the network on `device`, from a weights file or, for None, from torch's current random state."""


Adapter = Encoder | Generator | Part


@runtime_checkable
class Pretrainable(Protocol):
    """A method that mibench can train itself, without labels.

    Attributes:
        spec: as above.
        init_parts: names of the parts that can start from a published file (`--init PART=FILE`).
        views: the inputs that the objective takes, by name; each is prepared by `adapters.signal.prepare` and given as
            (batch, leads, samples), or as (batch, windows, leads, samples) where a view cuts several windows or is
            tiled.
    """

    spec: MethodSpec
    init_parts: tuple[str, ...]
    views: Mapping[str, InputSpec]

    def objective(self, init: Mapping[str, Path]) -> nn.Module:
        """The training module; forward({view: tensor}) -> {"loss": scalar, other scalars for the log}.

        Beside the views the batch holds "patient", (batch,) int64: equal numbers are the same patient. Randomness comes
        from torch's global generator, which is seeded for every step; whatever else lasts from step to step lives in
        buffers of the module, so that checkpoints hold it.

        Parameters without `requires_grad` are never touched by the optimiser. `init` maps parts to weights files; what
        reading them found may be left in an attribute `init_reports`, a LoadReport by part, for the run's record.
        """

    def trained_state(self, objective: nn.Module) -> dict[str, Tensor]:
        """What `load` needs of a trained objective, as tensors by name: this becomes the weights file."""


@runtime_checkable
class Taught(Protocol):
    """An objective whose student learns, of one view, what a teacher without gradient says of another.

    forward(batch) is `losses(learn(batch), ...)`. Whoever trains may give it, in place of the view `teacher_view`, what
    the teacher said: "targets", (all, features), of every record that is to be a negative, and "places", (batch,)
    int64, where among them the target of each record of this batch stands. Without "places", row i belongs to row i.
    So a frozen teacher is asked once for each record and never again, and several processes share their negatives by
    giving their targets to each other; the mean of their losses is that of one process with the whole batch.

    Attributes:
        teacher_view: the view that the teacher reads.
        student_views: the views that the student reads.
        frozen: what the teacher says of a record is the same at every step: no augmentation, no batch statistics.
    """

    teacher_view: str
    student_views: tuple[str, ...]
    frozen: bool

    @property
    def teacher(self) -> nn.Module:
        """The network whose tensors, with the method's options, determine what the teacher says."""

    def teach(self, view: Tensor) -> Tensor:
        """(batch, leads, samples) of `teacher_view` -> (batch, features), without gradient."""

    def learn(self, views: Mapping[str, Tensor]) -> Tensor:
        """The `student_views` -> (batch, features), with gradient."""

    def losses(self, student: Tensor, targets: Tensor, places: Tensor | None = None) -> dict[str, Tensor]:
        """{"loss": scalar, other scalars for the log} of (batch, features) among (all, features)."""


@runtime_checkable
class Contrastive(Protocol):
    """An objective whose records are each other's negatives, without a teacher.

    Attributes:
        negatives: "local", the records that a process is given at once; "global", those of all processes, gathered
            with gradient, so that the mean of the processes' gradients is that of one process with the whole batch.
            Set by whoever trains, before the first step. In evaluation mode they are always local: processes are then
            not in step.
    """

    negatives: Negatives


@runtime_checkable
class Tunable(Protocol):
    """An encoder whose network can be trained end to end, under a head of labels."""

    spec: MethodSpec

    def network(self) -> nn.Module:
        """What `load` built: (batch, leads, samples) as `spec` describes -> (batch, embedding_dim), with gradient."""


@runtime_checkable
class Players(Protocol):
    """An objective in which several networks learn against or beside each other, each from a loss of its own.

    forward() returns, beside "loss" for the log, "NAME_loss" for every player, all from one pass at the same weights.
    The gradient of a player's loss reaches that player's parameters alone, and all take their steps together, each
    with an optimiser of its own. In evaluation mode forward() returns only {"loss": criterion}, by which epochs are
    chosen on the validation fold: what the networks are for, never what they tell each other.

    Attributes:
        criterion: the criterion in words, such as "mean squared error of the eleven missing leads, mV^2".
    """

    criterion: str

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """The parameters of each player, by its name; none belongs to two."""


@dataclass(frozen=True)
class PaperCount:
    """What the paper's Table 4 was counted on: a network in evaluation, and what it was given.

    Attributes:
        module: at random, with `requires_grad` where the paper counted a parameter.
        inputs: makes the keyword arguments of its forward, one record.
        without: endings of names of submodules that the original program uses without calling them, so that the
            paper's counter missed them.
        draws: how many passes are averaged, where a random mask decides what is computed.
    """

    module: nn.Module
    inputs: Callable[[], dict[str, Any]]
    without: tuple[str, ...] = ()
    draws: int = 1


@runtime_checkable
class Counted(Protocol):
    """A method with a row in the paper's Table 4 (parameters and multiply-accumulates)."""

    spec: MethodSpec

    def paper_count(self) -> PaperCount:
        """What has to be counted to find the paper's figures again, at the full size; of the method's own size."""


Batches = Callable[[], "Iterable[Tensor]"]
"""Gives the records of some folds anew at each call, batch by batch."""


@dataclass(frozen=True)
class Fitted:
    """What a closed form found.

    Attributes:
        state: tensors by name: the weights file that `load` reads.
        notes: sentences worth showing to the user, such as which ridge was chosen.
        validation_loss: mean squared error of the eleven missing leads on the validation fold, mV^2.
    """

    state: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()
    validation_loss: float | None = None


@runtime_checkable
class Fittable(Protocol):
    """A generator with a closed form: fitted in a few passes over the training folds, without epochs or rates.

    Attributes:
        init_parts: names of the parts that it starts from, as of `Pretrainable`.
    """

    spec: MethodSpec
    init_parts: tuple[str, ...]

    def fit(self, training: Batches, validation: Batches, init: Mapping[str, Path], device: torch.device) -> Fitted:
        """Fit to real records, and choose what is to be chosen on the validation fold.

        Args:
            training, validation: batches of (batch, 12, samples) in mV at `spec.sampling_rate`, in the order of
                `LEADS`, on `device`; memory holds one at a time.
        """


@dataclass(frozen=True)
class NoOptions:
    """The options of a method that has none."""


@dataclass(frozen=True)
class MethodCard:
    """How a method is found and set up, before any of its code is imported.

    Attributes:
        name: as typed on the command line.
        target: "package.module:Class" or "path/to/file.py:Class".
        origin: "built in", "entry point of PACKAGE" or "file".
        title: the name in tables.
        summary: one line for `mibench methods`.
        options: values for the adapter's `Options` dataclass; presets already merged.
        presets: named sets of options.
        pretraining: values for the pre-training protocol where the method's own differ from its defaults.
        starts_from: part -> method whose weights that part of a pre-training needs; pre-trained first where none are
            given.
        demo: the preset that the demo heart is run with, where the full size takes too long to show the way.
        demo_pretraining: values for the pre-training of that preset: a small network learns at another rate.
        facts: what `mibench methods` tells without importing anything: kind, input, license, weights, parameters,
            pretraining_parameters, macs, paper_macs; tests hold them against the network.
        published: where its published weights are: file, license, and hub (OWNER/NAME on the Hugging Face Hub) or
            by_hand (a place that only a person gets at); sha256 where others noted it. Empty where there are none, or
            where they are those of another method.
        preset: the one that was chosen, for titles; the options say the rest.
        root: package against which a relative target is resolved; empty for anything but our own.
    """

    EMPTY: ClassVar[Mapping[str, Any]] = {}

    name: str
    target: str
    origin: str
    title: str = ""
    summary: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pretraining: Mapping[str, Any] = field(default_factory=dict)
    starts_from: Mapping[str, str] = field(default_factory=dict)
    demo: str = ""
    demo_pretraining: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, str] = field(default_factory=dict)
    preset: str = ""
    root: str = ""
