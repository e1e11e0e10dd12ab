"""Counting multiply-accumulates: by hand, by torch, and as ptflops prints them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mibench.benchmark.costs import ptflops_macs, true_macs

TOKENS, WIDTH, HEADS = 7, 16, 4


class Attention(nn.Module):
    """Self-attention with a convolution in front, small enough to count by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, WIDTH, 5, padding=2, bias=False)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).transpose(1, 2)
        heads = self.qkv(tokens).unflatten(-1, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*heads)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


CONV = TOKENS * WIDTH * 3 * 5
QKV = TOKENS * WIDTH * 3 * WIDTH
OUT = TOKENS * WIDTH * WIDTH
PRODUCTS = 2 * TOKENS * TOKENS * WIDTH


def test_the_true_count_holds_the_products_of_attention() -> None:
    with torch.device("meta"):
        net, x = Attention(), torch.zeros(1, 3, TOKENS)
    assert true_macs(lambda: net(x)) == CONV + QKV + OUT + PRODUCTS


def test_ptflops_misses_them_and_leaves_out_what_it_is_told_to() -> None:
    net = Attention()
    parameters = sum(parameter.numel() for parameter in net.parameters())

    def inputs() -> dict[str, Tensor]:
        return {"x": torch.zeros(1, 3, TOKENS)}

    assert ptflops_macs(net, inputs) == (CONV + QKV + OUT, parameters)
    assert ptflops_macs(net, inputs, without=["qkv"]) == (CONV + OUT, parameters)
    assert ptflops_macs(net, inputs, without=["qkv", "out"]) == (CONV, parameters)
