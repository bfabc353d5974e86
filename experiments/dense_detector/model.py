"""The network: picture -> backbone -> one feature map -> class head and box head.

It returns raw numbers only. What they should have been (assign.py, losses.py) and what they mean
(decode.py) lies outside, so that training and inference call the same forward.

Letters: N pictures, C classes, A anchors a cell, P = rows * columns * A anchors a picture.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from experiments.dense_detector.presets import Network


class RawOutput(NamedTuple):
    """What the network says about each anchor, in the order of anchors.grid_anchors."""

    logits: Tensor  # (N, P, C); sigmoid(logit) is the score of that class, there is no background class
    deltas: Tensor | None  # (N, P, 4) for boxes.decode_deltas; None without a box head


def flatten_head(x: Tensor, num_outputs: int) -> Tensor:
    """A head's map (N, A * K, rows, columns) -> (N, rows * columns * A, K), in anchor order; K = num_outputs.

    A convolution keeps channels in front of places, anchors are ordered the other way round: the permute is
    what connects a logit with its own anchor.
    """
    x = x.unflatten(1, (-1, num_outputs))  # (N, A, K, rows, columns)
    return x.permute(0, 3, 4, 1, 2).flatten(1, 3)


def flatten_head_published(x: Tensor, num_outputs: int) -> Tensor:
    """The published code's (N, A * K, rows, columns) -> (N, rows * columns * A, K): a reshape alone.

    Same shape as `flatten_head`, but the numbers stay ordered (shape, row, column): nearly every anchor gets
    the logit of another cell and shape, and with K > 1 neighbouring columns pass for classes.
    """
    return x.reshape(len(x), -1, num_outputs)


def _activation(network: Network) -> nn.Module:
    # In place: batch-norm keeps its input for the backward pass, never its output.
    return nn.ReLU(inplace=True) if network.activation == "relu" else nn.LeakyReLU(0.01, inplace=True)


class ResidualBlock(nn.Module):
    """3x3, 3x3, plus a shortcut; (N, in, h, w) -> (N, out, h / stride, w / stride)."""

    def __init__(self, in_channels: int, channels: int, stride: int, network: Network):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.activation = _activation(network)
        if network.shortcut == "conv3":
            self.shortcut = nn.Conv2d(in_channels, channels, 3, stride, padding=1)
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.activation(self.bn1(self.conv1(x)))
        return self.activation(self.bn2(self.conv2(y)).add_(self.shortcut(x)))


class Backbone(nn.Module):
    """Stem and residual blocks; (N, in_channels, H, W) -> (N, channels, H / stride, W / stride)."""

    def __init__(self, network: Network, in_channels: int):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, network.stem_channels, 5, stride=2, padding=2),
            nn.BatchNorm2d(network.stem_channels),
            _activation(network),
        )
        widths = [network.stem_channels, *(channels for channels, _ in network.blocks)]
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(before, channels, stride, network)
                for before, (channels, stride) in zip(widths, network.blocks, strict=False)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.blocks(self.stem(x))


class Head(nn.Sequential):
    """Two hidden 3x3 convolutions and a last one; (N, in, rows, columns) -> (N, A * K, rows, columns)."""

    def __init__(self, in_channels: int, num_channels_out: int, network: Network):
        width = network.head_channels
        super().__init__(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=network.head_bias),
            nn.BatchNorm2d(width),
            _activation(network),
            nn.Conv2d(width, width, 3, padding=1, bias=network.head_bias),
            nn.BatchNorm2d(width),
            _activation(network),
            nn.Conv2d(width, num_channels_out, 3, padding=1),
        )

    @property
    def last(self) -> nn.Conv2d:
        """The convolution that writes the outputs."""
        return self[-1]


class ClassHead(Head):
    """One logit per anchor and class. All scores start near sigmoid(last_bias).

    Thousands of anchors are background; were they scored 0.5 at first, their loss would drown all else.
    """

    def __init__(self, in_channels: int, num_shapes: int, num_classes: int, network: Network):
        super().__init__(in_channels, num_shapes * num_classes, network)

    def reset_last(self, network: Network) -> None:
        """Set the last bias."""
        nn.init.constant_(self.last.bias, network.last_bias)


class BoxHead(Head):
    """Four deltas per anchor, the same for all classes. Starts at zero: a box begins as its anchor.

    The published detector has none; its detections are anchors as they are.
    """

    def __init__(self, in_channels: int, num_shapes: int, network: Network):
        super().__init__(in_channels, num_shapes * 4, network)

    def reset_last(self, network: Network) -> None:
        """Set the last bias, and make the last weights small."""
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)


class DenseDetector(nn.Module):
    """Pictures float32 (N, in_channels, H, W) -> RawOutput.

    `flatten`: "aligned" gives each anchor its own logit, "published" reshapes as the published code does.
    Initialised from torch's generator: seed it (`torch.manual_seed`) for the same weights.
    """

    def __init__(
        self,
        network: Network,
        num_shapes: int,
        num_classes: int,
        *,
        in_channels: int = 1,
        box_head: bool = True,
        flatten: Literal["aligned", "published"] = "aligned",
    ):
        super().__init__()
        self.network, self.num_classes = network, num_classes
        self.flatten = flatten_head if flatten == "aligned" else flatten_head_published
        self.backbone = Backbone(network, in_channels)
        channels = network.blocks[-1][0]
        self.class_head = ClassHead(channels, num_shapes, num_classes, network)
        self.box_head = BoxHead(channels, num_shapes, network) if box_head else None
        self.reset_parameters()
        # Channels last in memory: the convolutions are quicker so, and flatten_head copies nothing.
        self.to(memory_format=torch.channels_last)

    def reset_parameters(self) -> None:
        """Initial values of the preset."""
        if self.network.init == "kaiming":
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, a=0.01, mode="fan_out", nonlinearity="leaky_relu")
        for head in (self.class_head, self.box_head):
            if head is not None:
                head.reset_last(self.network)

    def feature_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the feature map of a picture of that height and width."""
        return self.network.feature_hw(image_hw)

    def forward(self, images: Tensor) -> RawOutput:
        """See the class."""
        features = self.backbone(images)
        logits = self.flatten(self.class_head(features), self.num_classes)
        deltas = None if self.box_head is None else self.flatten(self.box_head(features), 4)
        return RawOutput(logits, deltas)
