"""The mask network for prediction on a CPU: the same function, its slow layers written another way.

An enlargement by repetition followed by a 3x3 convolution is four 2x2 convolutions of the small map, one per
position in the enlarged pixel: four ninths of the products, and the enlarged map is never made. A 7x7
convolution to one channel, which leaves most lanes of a vector unit idle, is a 1x7 convolution to seven
channels whose rows are then added. Sums run in another order, so masks agree up to rounding.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.sample_synthesis.redo.networks import MaskNet

# A 3-tap kernel after repetition: position 0 sees the small pixels i - 1 and i, position 1 i and i + 1.
TAPS = torch.tensor(
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
)  # (position, 2, 3)


def fold_upsampling(weight: Tensor) -> Tensor:
    """(o, i, 3, 3) -> (4 * o, i, 2, 2): the kernels of the positions (0, 0), (0, 1), (1, 0), (1, 1)."""
    taps = TAPS.to(weight)
    return torch.einsum("aty,bsx,oiyx->aboits", taps, taps, weight).flatten(0, 2).contiguous()


def convolve_enlarged(x: Tensor, folded: Tensor) -> Tensor:
    """(n, i, h, w), kernels of `fold_upsampling` -> (n, o, 2 h, 2 w): enlarged, then convolved 3x3."""
    height, width = x.shape[-2:]
    positions = F.conv2d(x, folded, padding=1).unflatten(1, (2, 2, -1))  # (n, 2, 2, o, h + 1, w + 1)
    out = x.new_empty(len(x), positions.shape[3], height, 2, width, 2)
    for a in range(2):
        for b in range(2):
            out[:, :, :, a, :, b] = positions[:, a, b, :, a : a + height, b : b + width]
    return out.flatten(4, 5).flatten(2, 3)


def convolve_by_rows(x: Tensor, rows: Tensor, bias: Tensor) -> Tensor:
    """(n, i, h + k - 1, w + k - 1), rows (k, i, 1, k) -> (n, 1, h, w): a k x k convolution to one channel."""
    partial = F.conv2d(x, rows)  # (n, k, h + k - 1, w)
    height = x.shape[-2] - len(rows) + 1
    out = (partial[:, 0, :height] + bias).float()  # the rows are added in float32 whatever the network is in
    for row in range(1, len(rows)):
        out += partial[:, row, row : row + height]
    return out[:, None]


class FoldedMaskNet(nn.Module):
    """A MaskNet for prediction; changes of the original afterwards do not reach it."""

    def __init__(self, network: MaskNet) -> None:
        super().__init__()
        self.size, self.temperature = network.size, network.temperature
        parts = (network.down, network.residual, network.pyramid, nn.ModuleList(b[2] for b in network.up))
        self.down, self.residual, self.pyramid, self.norms = copy.deepcopy(parts)
        for i, block in enumerate(network.up):
            self.register_buffer(f"up{i}", fold_upsampling(block[1].weight.detach()))
        head = network.head[1]
        self.register_buffer("rows", head.weight.detach()[0].permute(1, 0, 2)[:, :, None].contiguous())
        self.register_buffer("bias", head.bias.detach().clone())

    def logit(self, pictures: Tensor) -> Tensor:
        """(n, 3, S, S) -> (n, 1, S, S), as MaskNet.logit."""
        x = self.pyramid(self.residual(self.down(pictures)))
        for i, norm in enumerate(self.norms):
            x = F.relu(norm(convolve_enlarged(x, self.get_buffer(f"up{i}"))))
        return convolve_by_rows(F.pad(x, (3, 3, 3, 3), mode="reflect"), self.rows, self.bias)
