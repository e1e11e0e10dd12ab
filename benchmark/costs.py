"""What one forward pass costs, in multiply-accumulates: the true figure, and what ptflops makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ptflops import get_model_complexity_info
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def true_macs(run: Callable[[], Any]) -> int:
    """Multiply-accumulates of all matrix products and convolutions in a call, whoever calls them.

    Attention is counted as the products it consists of. What is done element by element is not counted.
    """
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops()) // 2


def both_macs(
    module: nn.Module, inputs: Callable[[], dict[str, Any]], *, without: Sequence[str] = ()
) -> tuple[int, int, int]:
    """(MACs by ptflops, true MACs, parameters that learn by ptflops) of one and the same pass, as of the two others.

    Not for a module that turns to `torch.inference_mode` by itself: fused attention then comes to ptflops in parts.
    """
    # A dispatch mode imports it on the way, and must not find what ptflops puts in the place of torch's functions.
    import torch._dynamo

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        macs, parameters = ptflops_macs(module, inputs, without=without)
    return macs, int(counter.get_total_flops()) // 2, parameters


def ptflops_macs(
    module: nn.Module, inputs: Callable[[], dict[str, Any]], *, without: Sequence[str] = ()
) -> tuple[int, int]:
    """(MACs, parameters that learn) as the default backend of ptflops counts them; Table 4 of the paper is its figures.

    It counts modules by their exact type and misses weights that are used as plain tensors. On the meta device it
    counts some layers twice, so the network has to be a real one.

    Args:
        module: the network, in the mode that it is to be measured in.
        inputs: makes the keyword arguments of its forward.
        without: endings of names of submodules whose own count is left out, to show what it prints for a program that
            uses the weights of these submodules without calling them.
    """
    left_out = 0
    named = [(name, part) for name, part in module.named_modules() if name.endswith(tuple(without))] if without else []

    def collect(*_: Any) -> None:
        nonlocal left_out
        left_out = sum(int(getattr(part, "__flops__", 0)) for _, part in named)

    macs, parameters = _complexity(module, inputs, collect)
    return macs - left_out, parameters


def _complexity(
    module: nn.Module, inputs: Callable[[], dict[str, Any]], collect: Callable[..., None]
) -> tuple[int, int]:
    handle = module.register_forward_hook(collect)
    try:
        macs, parameters = get_model_complexity_info(
            module,
            (1,),
            input_constructor=lambda _shape: inputs(),
            as_strings=False,
            print_per_layer_stat=False,
            backend="pytorch",
        )
    finally:
        handle.remove()
    return int(macs), int(parameters)
