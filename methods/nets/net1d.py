"""Net1D: the one-dimensional RegNet-like residual network of ECGFounder, which SelfMIS uses twice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Bound at import: ptflops counts `torch.nn.functional.silu` by replacing that name, but counts nothing for the
# `x * sigmoid(x)` that the published figures were taken with.
from torch.nn.functional import pad, silu

DROPOUT = 0.5
SQUEEZE = 2


@dataclass(frozen=True)
class Net1DConfig:
    """Size and switches of a `Net1D`; the defaults are those of the published ECGFounder networks.

    Attributes:
        base_filters: channels of the stem.
        filter_list: channels of each stage; the last one is the width of the features.
        m_blocks_list: number of residual blocks in each stage.
        kernel_size: taps of the stem and of each block's middle convolution.
        stride: of the stem and of the first block of every stage.
        groups_width: channels per group of the middle convolution; divides every entry of `filter_list`.
        use_bn: run the batch normalisation layers. They exist either way, as in the published files.
        use_do: drop half of the activations before each convolution of a block while training.
    """

    base_filters: int = 64
    filter_list: tuple[int, ...] = (64, 160, 160, 400, 400, 1024, 1024)
    m_blocks_list: tuple[int, ...] = (2, 2, 2, 3, 3, 4, 4)
    kernel_size: int = 16
    stride: int = 2
    groups_width: int = 16
    use_bn: bool = False
    use_do: bool = False

    def __post_init__(self) -> None:
        sizes = (self.base_filters, self.kernel_size, self.stride, self.groups_width, *self.filter_list)
        if min(*sizes, *self.m_blocks_list) < 1:
            raise ValueError(f"every size of a Net1D must be at least 1; got {self}")
        if not self.filter_list or len(self.filter_list) != len(self.m_blocks_list):
            raise ValueError(
                f"filter_list and m_blocks_list describe the same stages; got {len(self.filter_list)} and "
                f"{len(self.m_blocks_list)} entries"
            )
        if any(width % self.groups_width for width in self.filter_list):
            raise ValueError(f"groups_width {self.groups_width} does not divide every entry of {self.filter_list}")
        widths = (self.base_filters, *self.filter_list)
        if list(widths) != sorted(widths):
            raise ValueError(f"channels may only grow from stage to stage; got {widths}")

    @property
    def features(self) -> int:
        """Width of the feature vector."""
        return self.filter_list[-1]


class SameConv1d(nn.Module):
    """Convolution whose output has ceil(samples / stride) steps; an odd pad goes to the right."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride, groups=groups)
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        samples = x.shape[-1]
        steps = -(-samples // self.stride)
        total = max(0, (steps - 1) * self.stride + self.kernel_size - samples)
        out: Tensor = self.conv(pad(x, (total // 2, total - total // 2)))
        return out


class Block(nn.Module):
    """Pre-activation residual block: 1x1, grouped, 1x1, squeeze and excitation, and a shortcut without weights."""

    def __init__(self, in_channels: int, out_channels: int, config: Net1DConfig, *, stride: int, first: bool) -> None:
        super().__init__()
        self.use_bn = config.use_bn
        self.first = first
        self.spare = stride - 1
        self.extra = out_channels - in_channels
        groups = out_channels // config.groups_width
        self.bn1 = nn.BatchNorm1d(in_channels)
        self.conv1 = SameConv1d(in_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm1d(out_channels)
        self.conv2 = SameConv1d(out_channels, out_channels, config.kernel_size, stride, groups)
        self.bn3 = nn.BatchNorm1d(out_channels)
        self.conv3 = SameConv1d(out_channels, out_channels, 1)
        self.se_fc1 = nn.Linear(out_channels, out_channels // SQUEEZE)
        self.se_fc2 = nn.Linear(out_channels // SQUEEZE, out_channels)
        self.dropout = nn.Dropout(DROPOUT if config.use_do else 0.0)
        self.pool = nn.MaxPool1d(stride) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x if self.first else self._activate(self.bn1, x)
        out = self.conv1(out)
        out = self.conv2(self._activate(self.bn2, out))
        out = self.conv3(self._activate(self.bn3, out))
        gate: Tensor = torch.sigmoid(self.se_fc2(silu(self.se_fc1(out.mean(-1)))))
        return out * gate.unsqueeze(-1) + self._shortcut(x)

    def _activate(self, norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
        activated: Tensor = self.dropout(silu(norm(x) if self.use_bn else x))
        return activated

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            # Zeros, not -inf, as published: at an odd length the last maximum is taken with 0.
            x = self.pool(pad(x, (self.spare // 2, self.spare - self.spare // 2)))
        if self.extra:
            x = pad(x, (0, 0, self.extra // 2, self.extra - self.extra // 2))
        return x


class Stage(nn.Module):
    """Residual blocks of one width, the first of them strided."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, config: Net1DConfig, *, first: bool) -> None:
        super().__init__()
        self.block_list = nn.ModuleList(
            Block(
                in_channels if index == 0 else out_channels,
                out_channels,
                config,
                stride=config.stride if index == 0 else 1,
                first=first and index == 0,
            )
            for index in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block_list:
            x = block(x)
        return x


class Net1D(nn.Module):
    """RegNet-like residual network for ECG (ECGFounder, arXiv 2410.04133), with the published names of tensors.

    Args:
        in_channels: leads; the published networks take 1 (lead I) or 12, at 500 Hz for 10 s.
        config: size and switches.
        n_classes: outputs of the dense head, None for no head. The published head has 150.

    Batch normalisation that is not run takes no gradient: it is neither trained nor waited for by DDP.
    """

    def __init__(self, in_channels: int, config: Net1DConfig | None = None, n_classes: int | None = None) -> None:
        super().__init__()
        config = config or Net1DConfig()
        if in_channels < 1:
            raise ValueError(f"in_channels must be at least 1; got {in_channels}")
        self.in_channels = in_channels
        self.config = config
        self.first_conv = SameConv1d(in_channels, config.base_filters, config.kernel_size, config.stride)
        self.first_bn = nn.BatchNorm1d(config.base_filters)
        widths = (config.base_filters, *config.filter_list)
        self.stage_list = nn.ModuleList(
            Stage(widths[index], widths[index + 1], blocks, config, first=index == 0)
            for index, blocks in enumerate(config.m_blocks_list)
        )
        self.dense = None if n_classes is None else nn.Linear(config.features, n_classes)
        for name, module in self.named_modules():
            if isinstance(module, nn.BatchNorm1d) and (not config.use_bn or name == "stage_list.0.block_list.0.bn1"):
                module.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, samples) -> (batch, features): the mean over time of the last stage."""
        if x.ndim != 3 or x.shape[1] != self.in_channels:
            raise ValueError(f"Net1D takes (batch, {self.in_channels}, samples); got {tuple(x.shape)}")
        out: Tensor = self.first_conv(x)
        if self.config.use_bn:
            out = self.first_bn(out)
        out = silu(out)
        for stage in self.stage_list:
            out = stage(out)
        return out.mean(-1)

    def classify(self, features: Tensor) -> Tensor:
        """(batch, features) -> (batch, n_classes) logits of the dense head."""
        if self.dense is None:
            raise ValueError("this Net1D was built without a dense head; give n_classes")
        logits: Tensor = self.dense(features)
        return logits

    def logits(self, x: Tensor) -> Tensor:
        """(batch, in_channels, samples) -> (batch, n_classes)."""
        return self.classify(self(x))
