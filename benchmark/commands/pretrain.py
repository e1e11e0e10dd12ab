"""`mibench pretrain`: train a method without labels."""

from __future__ import annotations

from pathlib import Path

import click

from ...adapters.errors import MibenchError
from .options import ManyValues, data_option, device_option, force_option, preset_option, results_option, set_option


@click.command("pretrain", cls=ManyValues)
@click.option("--method", "methods", multiple=True, required=True, metavar="NAME", help="Name, or file.py:Class")
@data_option
@click.option("--epochs", type=click.IntRange(1), help="Passes over the records  [default: the method's, on demo 2]")
@click.option(
    "--batch-size",
    type=click.IntRange(2),
    help="Records per step, of all processes  [default: the method's, on demo 32]",
)
@click.option("--micro-batch", type=click.IntRange(2), help="Records per forward pass  [default: all of a process]")
@click.option("--init", multiple=True, metavar="PART=FILE", help="Start a part of the method from published weights")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--checkpoint-minutes", type=float, default=5.0, show_default=True, help="What a kill can cost at most")
@click.option("--checkpoint-steps", type=click.IntRange(1), help="Also save after so many steps")
@click.option(
    "--resume", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Go on from this checkpoint"
)
@click.option(
    "--teacher-cache/--no-teacher-cache", default=True, help="Ask a frozen teacher once per record  [default: yes]"
)
@click.option("--compile/--no-compile", "compiled", default=False, help="Let torch compile the network first")
@click.option("--tensorboard", type=click.Path(path_type=Path, file_okay=False), help="Also write event files there")
@click.option("--plan", is_flag=True, help="Only say what it would take here: disk, memory, hours")
@preset_option
@set_option
@device_option
@results_option
@force_option
def command(
    methods: tuple[str, ...],
    data: str | None,
    epochs: int | None,
    batch_size: int | None,
    micro_batch: int | None,
    init: tuple[str, ...],
    seed: int,
    checkpoint_minutes: float,
    checkpoint_steps: int | None,
    resume: Path | None,
    teacher_cache: bool,
    compiled: bool,
    tensorboard: Path | None,
    plan: bool,
    preset: str | None,
    sets: tuple[str, ...],
    device: str,
    results: Path | None,
    force: bool,
) -> None:
    """Pre-train a method on folds 1-8, without labels. A killed run goes on and ends with the same weights.

    A generator learns lead I to twelve leads there, keeps its best epoch on fold 9 by the error of the missing leads,
    and draws a validation record after each; a closed form (fir-ridge) is fitted in one go.

    \b
    mibench pretrain --method selfmis --data ptb-xl
    mibench pretrain --method selfmis --data ptb-xl --epochs 3 --batch-size 64
    mibench pretrain --method selfmis --init single_lead=1_lead_ECGFounder.pth --init twelve_lead=12_lead_ECGFounder.pth
    mibench pretrain --method selfmis --preset lab_precedent --set protocol.learning_rate=5e-5
    mibench pretrain --method clocs --data ptb-xl --set method.positives=patient
    mibench pretrain --method stmem --data ptb-xl --epochs 800 --set method.net.checkpoint_activations=true
    mibench pretrain --method heartlang --data ptb-xl     # its vocabulary first, where there is none
    mibench pretrain --method mcma --data ptb-xl --set method.net.kernel=5
    torchrun --nproc-per-node 4 --no-python mibench pretrain --method selfmis --data ptb-xl --batch-size 512
    mibench pretrain --method selfmis --data ptb-xl --batch-size 512 --micro-batch 128 --set protocol.negatives=local
    mibench pretrain --method selfmis simclr --plan       # disk, memory and hours on MIMIC-IV-ECG, on this machine
    mibench pretrain --method noise-matched --set method.like=mcma --init like=weights.safetensors

    Epochs, batch, optimiser and schedule are those that each method was published with: `mibench methods show NAME`.
    """
    from ..choices import PretrainChoices
    from ..home import results_folder
    from ..pretraining import pretrain_and_show
    from ..processes import rank

    choices = PretrainChoices(
        data=data,
        epochs=epochs,
        batch_size=batch_size,
        init=init,
        seed=seed,
        checkpoint_seconds=60 * checkpoint_minutes,
        checkpoint_steps=checkpoint_steps,
        micro_batch=micro_batch,
        teacher_cache=teacher_cache,
        compile=compiled,
        resume=resume,
        tensorboard=tensorboard,
        preset=preset,
        sets=sets,
        device=device,
        results=results_folder(results),
        force=force,
    )
    # Of several processes one speaks.
    quiet = rank() > 0

    def say(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    if plan:
        from ..plan import plan_and_show

        click.echo(plan_and_show(methods, choices, say))
        return
    if len(methods) != 1:
        raise MibenchError("one method is pre-trained at a time: give one --method; --plan takes several, or `all`")
    text = pretrain_and_show(methods[0], choices, say)
    if not quiet:
        click.echo(text)
