"""ReDO's four networks, written from the paper (section 4 and appendix; arXiv 1905.13539).

Pictures are float32 (n, 3, S, S) in [-1, 1], masks float32 (n, R, S, S) that add up to 1 over the R = 2
regions, latents float32 (n, R, latent). S is a power of two and at least 32; the published size is 128. At
other sizes the generator and the critic have log2(S / 4) blocks instead of five; their widest layer follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from suite.errors import BadInput

NUM_REGIONS = 2
DOWNSAMPLING = 4  # picture side / side of the mask network's feature map
POOLS = (1, 2, 3, 6)  # pyramid pooling: side of the map / side of a window (32: windows 32, 16, 10, 5)
BASE_SIDE = 4  # side of the generator's first feature map


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What decides the shapes of the four networks."""

    size: int = 128  # side of the pictures, pixels
    latent: int = 32  # latent values per region
    nf_mask: int = 64
    nf_generator: int = 64
    nf_discriminator: int = 64
    nf_regressor: int = 64
    residual_blocks: int = 3  # of the mask network
    temperature: float = 1.0  # the mask is sigmoid(logit / temperature)
    generator_attention: bool = False
    discriminator_attention: bool = False

    def __post_init__(self) -> None:
        if self.size < 32 or self.size & (self.size - 1):
            raise BadInput(f"ReDO's picture side is a power of two from 32, not {self.size}")
        if self.nf_mask % 4:
            raise BadInput(f"ReDO's mask network needs a width divisible by 4, not {self.nf_mask}")


def num_blocks(size: int) -> int:
    """Blocks of the generator and of the critic that halve or double the side: 5 at 128."""
    return (size // BASE_SIDE).bit_length() - 1


# -- mask network -----------------------------------------------------------------------------------------


class ConvNorm(nn.Sequential):
    """[reflection pad,] bias-free convolution, affine instance norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, reflect: bool = False):
        pad = kernel // 2
        super().__init__(
            nn.ReflectionPad2d(pad) if reflect else nn.Identity(),
            nn.Conv2d(inputs, outputs, kernel, stride, 0 if reflect else pad, bias=False),
            nn.InstanceNorm2d(outputs, affine=True),
            nn.ReLU(),
        )


class MaskResidual(nn.Module):
    """Two 3x3 convolutions with instance norm; norm and ReLU again after the addition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width, 3)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.InstanceNorm2d(width, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same."""
        return F.relu(self.norm(self.second(self.first(x)) + x))


class PyramidPooling(nn.Module):
    """Averages over windows of four sizes, one channel each, enlarged and appended to the input."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.windows = [side // share for share in POOLS]
        self.reduce = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in POOLS)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c + 4, h, w)."""
        pooled = []
        for conv, window in zip(self.reduce, self.windows, strict=True):
            # The convolution written out: oneDNN's has results that depend on the place in the batch, in the
            # last bit, where a map has an odd number of places.
            one = (F.avg_pool2d(x, window) * conv.weight[0]).sum(1, keepdim=True) + conv.bias
            pooled.append(F.interpolate(one, x.shape[-2:], mode="bilinear", align_corners=False))
        return torch.cat([x, *pooled], 1)


class MaskNet(nn.Module):
    """Picture -> soft masks of the two regions (paper, section 4; dissertation, "Mask extraction")."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        nf = architecture.nf_mask
        self.size, self.temperature = architecture.size, architecture.temperature
        self.down = nn.Sequential(
            ConvNorm(3, nf // 4, 7, reflect=True),
            ConvNorm(nf // 4, nf // 2, 3, stride=2),
            ConvNorm(nf // 2, nf, 3, stride=2),
        )
        self.residual = nn.Sequential(*(MaskResidual(nf) for _ in range(architecture.residual_blocks)))
        self.pyramid = PyramidPooling(nf, architecture.size // DOWNSAMPLING)
        wide = nf + len(POOLS)
        self.up = nn.ModuleList([ConvNorm(wide, wide // 2, 3), ConvNorm(wide // 2, wide // 4, 3)])
        self.head = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(wide // 4, 1, 7))

    def logit(self, pictures: Tensor) -> Tensor:
        """(n, 3, S, S) -> (n, 1, S, S): above 0 where region 0 is."""
        x = self.pyramid(self.residual(self.down(pictures)))
        for block in self.up:
            x = block(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.head(x)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, S, S) -> (n, 2, S, S) that add up to 1."""
        mask = torch.sigmoid(self.logit(pictures) / self.temperature)
        return torch.cat([mask, 1 - mask], 1)


# -- blocks of the spectrally normalised networks ---------------------------------------------------------


def conv(inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> nn.Module:
    """A same-padded convolution with spectral norm (one power iteration per training call)."""
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias))


class SelfAttention(nn.Module):
    """SAGAN's self-attention (Zhang et al. 2019) with keys and values pooled 2x2, as BigGAN has it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = (conv(width, max(width // 8, 1), 1, bias=False) for _ in range(2))
        self.value = conv(width, max(width // 2, 1), 1, bias=False)
        self.out = conv(max(width // 2, 1), width, 1, bias=False)
        self.weight = nn.Parameter(torch.zeros(1))  # the block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same."""
        query = self.query(x).flatten(2)  # (n, k, hw)
        key = F.max_pool2d(self.key(x), 2).flatten(2)  # (n, k, hw / 4)
        value = F.max_pool2d(self.value(x), 2).flatten(2)  # (n, v, hw / 4)
        shares = torch.softmax(query.transpose(1, 2) @ key, 2)  # (n, hw, hw / 4)
        found = (value @ shares.transpose(1, 2)).unflatten(2, x.shape[-2:])
        return x + self.weight * self.out(found)


class ModulatedNorm(nn.Module):
    """Instance norm whose scale and offset are affine functions of the region's latent."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.scale, self.offset = nn.Linear(latent, width), nn.Linear(latent, width)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """(n, c, h, w), (n, latent) -> (n, c, h, w), after ReLU."""
        scale, offset = (f(latent)[:, :, None, None] for f in (self.scale, self.offset))
        return F.relu(F.instance_norm(x) * scale + offset)


class UpResidual(nn.Module):
    """Doubles the side; the region's mask, averaged to the smaller side, enters the first convolution."""

    def __init__(self, inputs: int, outputs: int, latent: int) -> None:
        super().__init__()
        self.norm_in, self.norm_mid = ModulatedNorm(inputs, latent), ModulatedNorm(outputs, latent)
        self.first = conv(inputs + 1, outputs, 3, bias=False)
        self.second = conv(outputs, outputs, 3)
        self.skip = conv(inputs, outputs, 1)

    def forward(self, x: Tensor, mask: Tensor, latent: Tensor) -> Tensor:
        """(n, i, h, h), (n, 1, S, S), (n, latent) -> (n, o, 2 h, 2 h)."""
        small = F.avg_pool2d(mask, mask.shape[-1] // x.shape[-1])
        y = torch.cat([self.norm_in(x, latent), small], 1)
        y = self.first(F.interpolate(y, scale_factor=2.0, mode="nearest"))
        y = self.second(self.norm_mid(y, latent))
        # A 1x1 convolution and nearest enlargement commute: the cheap order.
        return y + F.interpolate(self.skip(x), scale_factor=2.0, mode="nearest")


class DownResidual(nn.Module):
    """Two 3x3 convolutions; halves the side unless `flat`."""

    def __init__(self, inputs: int, outputs: int, *, first: bool = False, flat: bool = False) -> None:
        super().__init__()
        self.relu = nn.Identity() if first else nn.ReLU()
        self.pool = nn.Identity() if flat else nn.AvgPool2d(2)
        self.conv_a, self.conv_b = conv(inputs, outputs, 3), conv(outputs, outputs, 3)
        self.skip = nn.Identity() if flat else conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, i, h, h) -> (n, o, h / 2, h / 2), or the same side where flat."""
        y = self.conv_b(F.relu(self.conv_a(self.relu(x))))
        return self.pool(y) + self.skip(self.pool(x))


# -- region generators, discriminator, latent regressor ---------------------------------------------------


class RegionGenerator(nn.Module):
    """Redraws one region from its mask and its latent."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        blocks, nf, latent = num_blocks(architecture.size), architecture.nf_generator, architecture.latent
        widths = [nf << (blocks - 1)] + [nf << (blocks - 1 - i) for i in range(blocks)]
        self.dense = nn.Linear(latent, widths[0] * BASE_SIDE**2)
        self.blocks = nn.ModuleList(
            UpResidual(a, b, latent) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.attention = SelfAttention(widths[-2]) if architecture.generator_attention else nn.Identity()
        self.norm = ModulatedNorm(nf, latent)
        self.out = conv(nf + 1, 3, 3)

    def forward(self, mask: Tensor, latent: Tensor) -> Tensor:
        """(n, 1, S, S), (n, latent) -> (n, 3, S, S): the region in [-1, 1], 0 outside its mask."""
        x = self.dense(latent).unflatten(1, (-1, BASE_SIDE, BASE_SIDE))
        for i, block in enumerate(self.blocks):
            if i == len(self.blocks) - 1:
                x = self.attention(x)
            x = block(x, mask, latent)
        return torch.tanh(self.out(torch.cat([self.norm(x, latent), mask], 1))) * mask


class Generators(nn.Module):
    """One generator per region."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.regions = nn.ModuleList(RegionGenerator(architecture) for _ in range(NUM_REGIONS))

    def forward(self, masks: Tensor, latents: Tensor) -> Tensor:
        """(n, R, S, S), (n, R, latent) -> (n, R, 3, S, S)."""
        drawn = [f(masks[:, k : k + 1], latents[:, k]) for k, f in enumerate(self.regions)]
        return torch.stack(drawn, 1)


class Trunk(nn.Module):
    """Residual encoder: down blocks to a side of 4, a flat block, the sum over places, a linear layer."""

    def __init__(self, architecture: Architecture, *, nf: int, outputs: int, attention: bool) -> None:
        super().__init__()
        widths = [nf << i for i in range(num_blocks(architecture.size))]
        self.first = DownResidual(3, nf, first=True)
        self.attention = SelfAttention(nf) if attention else nn.Identity()
        self.blocks = nn.Sequential(
            *(DownResidual(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)),
            DownResidual(widths[-1], widths[-1], flat=True),
        )
        self.dense = nn.Linear(widths[-1], outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, S, S) -> (n, outputs)."""
        x = self.blocks(self.attention(self.first(pictures)))
        return self.dense(x.sum((2, 3)))


class Discriminator(Trunk):
    """Picture -> one realness value."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(
            architecture,
            nf=architecture.nf_discriminator,
            outputs=1,
            attention=architecture.discriminator_attention,
        )


class LatentRegressor(Trunk):
    """Wholly generated picture -> the latents that it was drawn from."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(
            architecture,
            nf=architecture.nf_regressor,
            outputs=NUM_REGIONS * architecture.latent,
            attention=False,
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, S, S) -> (n, R, latent)."""
        return super().forward(pictures).unflatten(1, (NUM_REGIONS, -1))


def build(kind: type[nn.Module], architecture: Architecture, *, seed: int, gain: float = 0.8) -> nn.Module:
    """A network whose first weights depend on `seed` alone: orthogonal weights of `gain`, biases as torch
    draws them, norms at 1 and 0.

    torch's constructors draw from its global generator only, so that one is seeded here and put back after.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(architecture)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                normed = hasattr(layer, "parametrizations")
                nn.init.orthogonal_(layer.parametrizations.weight.original if normed else layer.weight, gain)
    return network
