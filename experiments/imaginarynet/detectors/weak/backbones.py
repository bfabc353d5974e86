"""Convolutional backbones of WSDDN and OICR behind one interface.

    backbone = build_backbone(settings)
    features = backbone(images)          # (N, out_channels, about H / stride, about W / stride)

VGG16 as in OICR (no pool4 and pool5, conv5 dilated: stride 8), ResNet-50 up to its fourth or fifth stage, and
MobileNetV2; parameters have torchvision's names, so that its weights fit. Batch norms keep the statistics and
factors of the weights (frozen); they are multiplied into the kernels at every call, which gives the same
numbers and gradients as a norm after the convolution and saves passes over the activations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import mobilenet_v2, resnet50
from torchvision.ops.misc import FrozenBatchNorm2d

from experiments.imaginarynet.config_weak import WeakConfig

VGG16_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
MOBILENETV2_STRIDED = (7, 14)  # blocks that halve the grid from stride 8 on


class Backbone(nn.Module, ABC):
    """A chain of stages, of which the first `freeze` do not learn and build no graph.

    out_channels: of the features. stride: pixels per cell. Images are float32 (N, 3, H, W), normalised.
    """

    def __init__(self, *, out_channels: int, stride: int, freeze: int) -> None:
        super().__init__()
        self.out_channels, self.stride, self.num_frozen = out_channels, stride, freeze

    @abstractmethod
    def stages(self) -> Sequence[nn.Module]:
        """The stages from the input on."""

    def run_stage(self, index: int, features: Tensor) -> Tensor:
        """One stage."""
        return self.stages()[index](features)

    def freeze(self) -> None:
        """Take the parameters of the first stages out of training."""
        for stage in self.stages()[: self.num_frozen]:
            stage.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, out_channels, h, w)."""
        # Depth-wise kernels are fastest with the channels innermost, on the CPU and on a GPU.
        features = images.contiguous(memory_format=torch.channels_last)
        count = len(self.stages())
        with torch.no_grad():
            for index in range(self.num_frozen):
                features = self.run_stage(index, features)
        for index in range(self.num_frozen, count):
            features = self.run_stage(index, features)
        return features


class VGG16(Backbone):
    """The thirteen convolutions of VGG16 (stride 8: pool4 left out, conv5 dilated; 16: pool4 kept)."""

    def __init__(self, *, stride: int = 8, freeze: int = 2) -> None:
        super().__init__(out_channels=512, stride=stride, freeze=freeze)
        layers: list[nn.Module] = []
        self._ends: list[int] = []
        channels = 3
        for number, widths in enumerate(VGG16_WIDTHS, start=1):
            dilation = 2 if number == 5 and stride == 8 else 1
            for width in widths:
                layers.append(nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation))
                layers.append(nn.ReLU(inplace=True))
                channels = width
            # An identity holds the place of a pooling that is left out: torchvision's numbering stays.
            is_pooled = number <= 3 or (number == 4 and stride == 16)
            layers.append(nn.MaxPool2d(2) if is_pooled else nn.Identity())
            self._ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        self.freeze()

    def stages(self) -> Sequence[nn.Module]:
        starts = [0, *self._ends[:-1]]
        return [self.features[start:end] for start, end in zip(starts, self._ends, strict=True)]


class ResNet50(Backbone):
    """ResNet-50: stem and stages 2 to 5, the last of which may be left to the head (`with_res5=False`)."""

    def __init__(self, *, stride: int = 8, freeze: int = 2, with_res5: bool = True) -> None:
        super().__init__(out_channels=2048 if with_res5 else 1024, stride=stride, freeze=freeze)
        # Strides 16 and 8: the stages after that one are dilated. Left to the head, res5 keeps its stride.
        dilated = [False, stride == 8, with_res5]
        network = resnet50(norm_layer=FrozenBatchNorm2d, replace_stride_with_dilation=dilated)
        self.conv1, self.bn1 = network.conv1, network.bn1
        self.layer1, self.layer2, self.layer3 = network.layer1, network.layer2, network.layer3
        if with_res5:
            self.layer4 = network.layer4
        self._with_res5 = with_res5
        self.freeze()

    def stages(self) -> Sequence[nn.Module]:
        stem = nn.ModuleList([self.conv1, self.bn1])
        return [stem, self.layer1, self.layer2, self.layer3, *([self.layer4] if self._with_res5 else [])]

    def run_stage(self, index: int, features: Tensor) -> Tensor:
        if index == 0:
            features = functional.relu(conv_norm(self.conv1, self.bn1, features))
            return functional.max_pool2d(features, 3, stride=2, padding=1)
        return run_bottlenecks(self.stages()[index], features)


class MobileNetV2(Backbone):
    """The stem and the first `depth` blocks of MobileNetV2 (18: with the closing 1x1 convolution)."""

    def __init__(self, *, stride: int = 8, freeze: int = 0, depth: int = 0) -> None:
        features = mobilenet_v2(norm_layer=FrozenBatchNorm2d).features[: (depth or 18) + 1]
        _dilate(features, stride)
        last = [m for m in features.modules() if isinstance(m, nn.Conv2d)][-1].out_channels
        super().__init__(out_channels=last, stride=stride, freeze=freeze)
        self.features = features
        self.freeze()

    def stages(self) -> Sequence[nn.Module]:
        return self.features

    def run_stage(self, index: int, features: Tensor) -> Tensor:
        block = self.features[index]
        if isinstance(block, nn.Sequential):  # the stem and the closing convolution
            return functional.relu6(conv_norm(block[0], block[1], features))
        inner, layers, place = features, list(block.conv), 0
        while place < len(layers):
            if isinstance(layers[place], nn.Sequential):
                inner = functional.relu6(conv_norm(layers[place][0], layers[place][1], inner))
                place += 1
            else:  # the linear projection and its norm
                inner = conv_norm(layers[place], layers[place + 1], inner)
                place += 2
        return features + inner if block.use_res_connect else inner


def build_backbone(settings: WeakConfig) -> Backbone:
    """The settings' backbone with torchvision's random weights."""
    if settings.backbone == "vgg16":
        return VGG16(stride=settings.stride, freeze=settings.freeze)
    if settings.backbone == "resnet50":
        with_res5 = settings.head != "res5"
        return ResNet50(stride=settings.stride, freeze=settings.freeze, with_res5=with_res5)
    return MobileNetV2(stride=settings.stride, freeze=settings.freeze, depth=settings.depth)


def conv_norm(conv: nn.Conv2d, norm: FrozenBatchNorm2d, features: Tensor) -> Tensor:
    """`norm(conv(features))` as one convolution."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    kernel, shift = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    return functional.conv2d(features, kernel, shift, conv.stride, conv.padding, conv.dilation, conv.groups)


def run_bottlenecks(blocks: nn.Sequential, features: Tensor) -> Tensor:
    """One stage of torchvision's ResNet-50."""
    for block in blocks:
        inner = functional.relu(conv_norm(block.conv1, block.bn1, features))
        inner = functional.relu(conv_norm(block.conv2, block.bn2, inner))
        inner = conv_norm(block.conv3, block.bn3, inner)
        if block.downsample is not None:
            features = conv_norm(block.downsample[0], block.downsample[1], features)
        features = functional.relu(features + inner)
    return features


def _dilate(features: nn.Sequential, stride: int) -> None:
    """Replace the halvings of the grid beyond `stride` by dilation of the depth-wise kernels after them."""
    dilation, reached = 1, 8
    for index, block in enumerate(features):
        is_strided = index in MOBILENETV2_STRIDED
        for conv in block.modules():
            if not isinstance(conv, nn.Conv2d) or conv.kernel_size == (1, 1) or index == 0:
                continue
            if is_strided and reached >= stride:
                conv.stride = (1, 1)
            if dilation > 1:
                conv.dilation = conv.padding = (dilation, dilation)
        if is_strided:
            dilation, reached = (dilation * 2, reached) if reached >= stride else (dilation, reached * 2)
