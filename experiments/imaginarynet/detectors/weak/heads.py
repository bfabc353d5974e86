"""From features to scores of proposals: pooling, the layers every branch shares, and the branches.

All proposals of a batch are pooled in one call and go through the layers together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet50
from torchvision.ops import roi_align, roi_pool
from torchvision.ops.misc import FrozenBatchNorm2d

from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.weak.backbones import Backbone, run_bottlenecks

BRANCH_STD, BOX_STD = 0.01, 0.001  # of the branches' first weights (OICR, section 4.1; pcl.pytorch)
RES5_CHANNELS = 2048


@dataclass(frozen=True, eq=False)
class Logits:
    """What the branches say of R proposals; column 0 of C + 1 is the background."""

    classes: Tensor  # float32 (R, C): which class a proposal is
    proposals: Tensor  # float32 (R, C): which proposal a class is
    refinements: tuple[Tensor, ...]  # each float32 (R, C + 1)
    fast_rcnn: Tensor | None = None  # float32 (R, C + 1)
    offsets: Tensor | None = None  # float32 (R, C + 1, 4): dx, dy, dw, dh times `box_weights`

    def rows(self, start: int, end: int) -> Logits:
        """Of the proposals start..end."""
        part = slice(start, end)
        return Logits(
            self.classes[part],
            self.proposals[part],
            tuple(one[part] for one in self.refinements),
            None if self.fast_rcnn is None else self.fast_rcnn[part],
            None if self.offsets is None else self.offsets[part],
        )


def pool(features: Tensor, boxes: Sequence[Tensor], settings: WeakConfig) -> Tensor:
    """(N, K, h, w) and N times (R_n, 4) -> (sum of R_n, K, size, size); boxes in pixels, half-open.

    roi_pool: the maximum over the cells of each bin, corners rounded to cells and an empty bin 0, as in Fast
    R-CNN, whose boxes hold their last pixel: it is one less than the half-open end.
    """
    size, scale = settings.pool_size, 1 / settings.stride
    if settings.pooling == "roi_align":
        return roi_align(features, list(boxes), size, scale, sampling_ratio=2, aligned=True)
    last = boxes[0].new_tensor([0, 0, 1, 1])
    return roi_pool(features.contiguous(), [one - last for one in boxes], size, scale)


class FcHead(nn.Module):
    """Fully connected layers with ReLU and dropout: fc6, fc7."""

    def __init__(self, in_channels: int, settings: WeakConfig) -> None:
        super().__init__()
        self.dropout = settings.dropout
        widths = [in_channels * settings.pool_size**2, *settings.fc]
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.layers = nn.ModuleList(nn.Linear(width, after) for width, after in pairs)
        self.out_channels = widths[-1]

    def forward(self, pooled: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(R, K, size, size) -> (R, out_channels)."""
        hidden = pooled.flatten(1)
        for layer in self.layers:
            hidden = functional.relu(layer(hidden), inplace=True)
            if self.training and self.dropout:
                hidden = drop(hidden, self.dropout, generator)
        return hidden


class Res5Head(nn.Module):
    """ResNet-50's fifth stage on every proposal, averaged over its cells ("C4")."""

    def __init__(self) -> None:
        super().__init__()
        self.layer4 = resnet50(norm_layer=FrozenBatchNorm2d).layer4
        self.out_channels = RES5_CHANNELS

    def forward(self, pooled: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(R, 1024, size, size) -> (R, 2048)."""
        return run_bottlenecks(self.layer4, pooled).mean((2, 3))


class Branches(nn.Module):
    """The linear layers on top: WSDDN's two streams, K refinements, and a Fast R-CNN head if wanted."""

    def __init__(self, width: int, num_classes: int, settings: WeakConfig) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.classes, self.proposals = nn.Linear(width, num_classes), nn.Linear(width, num_classes)
        self.refinements = nn.ModuleList(
            nn.Linear(width, num_classes + 1) for _ in range(settings.refinements)
        )
        self.fast_rcnn = nn.Linear(width, num_classes + 1) if settings.fast_rcnn else None
        self.offsets = nn.Linear(width, 4 * (num_classes + 1)) if settings.fast_rcnn else None

    def forward(self, hidden: Tensor) -> Logits:
        """(R, width) -> the logits of all branches."""
        # One product for all branches: many narrow ones take longer than a wide one.
        layers = [self.classes, self.proposals, *self.refinements]
        if self.fast_rcnn is not None:
            layers += [self.fast_rcnn, self.offsets]
        kernel, bias = torch.cat([one.weight for one in layers]), torch.cat([one.bias for one in layers])
        parts = functional.linear(hidden, kernel, bias).split([one.out_features for one in layers], dim=1)
        count = len(self.refinements)
        if self.fast_rcnn is None:
            return Logits(parts[0], parts[1], parts[2 : 2 + count])
        offsets = parts[-1].unflatten(1, (self.num_classes + 1, 4))
        return Logits(parts[0], parts[1], parts[2 : 2 + count], parts[-2], offsets)


def build_head(backbone: Backbone, settings: WeakConfig) -> FcHead | Res5Head:
    """The layers between the pooled features and the branches."""
    return Res5Head() if settings.head == "res5" else FcHead(backbone.out_channels, settings)


def drop(hidden: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Dropout whose mask comes from `generator` (torch's global one if None)."""
    kept = torch.empty_like(hidden).bernoulli_(1 - share, generator=generator)
    return hidden * kept.div_(1 - share)
