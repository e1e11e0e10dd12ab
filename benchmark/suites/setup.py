"""How the steps of a suite are set up: as single runs with the options that come to the same."""

from __future__ import annotations

from ...adapters import registry
from ...adapters.base import Adapter, MethodCard, MethodSpec
from ...adapters.errors import MibenchError
from .. import config, weights
from ..choices import PretrainChoices, RunChoices, Say, choose_preset
from ..data.dataset import Dataset
from ..measure import Judged, judged
from ..protocols import generative, latent_fid, pretrain
from ..weights import Weights
from .choices import Start, SuiteChoices, sets_for
from .file import PRETRAIN, RANDOM, Step
from .row import RowPlan, Source

GENERATORS = (generative.NAME, latent_fid.NAME)
"""Protocols with a classifier of twelve leads behind them."""


class Setup:
    """The choices that hold for all rows, and what is looked up once for all of them.

    Attributes:
        choices: of the command line.
        starts: files by part.
        say: told what happens.
    """

    def __init__(self, choices: SuiteChoices, starts: dict[str, Start], say: Say) -> None:
        self.choices, self.starts, self.say = choices, starts, say
        self._resolved: dict[tuple[str, str], Weights] = {}
        self._judged: dict[tuple[object, ...], Judged] = {}

    def adapter(self, plan: RowPlan, preset: str | None) -> Adapter:
        """The row's method with its options."""
        sets = config.parse_sets(plan.method_sets)["method"]
        return registry.create(registry.resolve_options(plan.card, preset or None, sets))

    def preset_of(self, plan: RowPlan, step: Step, source: Source) -> str | None:
        """What a single run would take: on the demo heart the small one, unless weights of the true size are given."""
        choice = RANDOM if source.lacks or source.choice is None else source.choice
        preset = choose_preset(plan.card, plan.chosen_preset, plan.data_of(step), choice, lambda _text: None)
        if preset and plan.chosen_preset is None and preset == plan.card.demo:
            self.say(
                f"preset `{preset}` on the demo heart where a method has one; --preset {registry.FULL} for true sizes"
            )
        return preset

    def run_choices(self, plan: RowPlan, step: Step, preset: str | None) -> RunChoices:
        """The options of a single run that does the same."""
        choices = self.choices
        sets = sets_for(step.protocol, choices.sets, step.sets)
        return RunChoices(
            data=plan.data_of(step).name,
            preset=preset,
            sets=(*plan.method_sets, *(text for text in sets if not text.startswith("method."))),
            device=choices.device,
            batch_size=choices.batch_size,
            results=choices.results,
            force=choices.force,
            classifier_weights=choices.classifier_weights,
        )

    def pretrain_choices(self, plan: RowPlan, card: MethodCard) -> PretrainChoices:
        """The options of a single pre-training that does the same."""
        own = [text for step in plan.row.steps if step.protocol == PRETRAIN for text in step.sets]
        sets = sets_for(PRETRAIN, self.choices.sets, own)
        return PretrainChoices(
            data=plan.learns_on.name,
            init=tuple(f"{part}={self.starts[part].file}" for part in plan.row.init),
            preset=plan.chosen_preset if plan.chosen_preset in (registry.FULL, *card.presets) else None,
            sets=(*plan.method_sets, *(text for text in sets if not text.startswith("method."))),
            device=self.choices.device,
            results=self.choices.results,
            force=self.choices.force,
        )

    def judged(self, plan: RowPlan, step: Step) -> Judged:
        """The protocol of generators with its classifier.

        Raises:
            MibenchError: settings that do not fit, or no weights of the classifier.
        """
        choices = self.run_choices(plan, step, None)
        known = (step.protocol, plan.data.name, choices.sets)
        if known not in self._judged:
            self._judged[known] = judged(step.protocol, choices, plan.data_of(step), self.say)
        return self._judged[known]

    def weights_of(self, source: Source, spec: MethodSpec, card: MethodCard, data: Dataset) -> Weights:
        """The weights, whose file is read for its digest once.

        Raises:
            MibenchError: they are gone.
        """
        choice = source.choice
        if source.pretraining is not None:
            folder = source.pretraining.folder()
            if folder is None:
                raise MibenchError(f"the pre-training of {spec.name} is not done")
            choice = str(folder / pretrain.WEIGHTS)
        assert choice is not None
        known = (choice, spec.name)
        if known not in self._resolved:
            plug_in = card.origin != "built in"
            found = weights.resolve(choice, spec, demo=data.is_demo, plug_in=plug_in)
            if found is None:
                raise MibenchError(weights.how_to_get(card.name, spec, data.name))
            self._resolved[known] = found
        return self._resolved[known]
