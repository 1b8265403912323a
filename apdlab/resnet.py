"""Convolutional networks without BatchNorm: every number in them is a weight that can have a prior."""

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from apdlab.networks import Network
from apdlab.types import is_count


class FilterResponseNorm(nn.Module):
    """Normalises each channel of each image alone: ``y = max(gamma x / sqrt(mean x^2 + 1e-6) + beta, tau)``.

    The mean is over the image. Unlike BatchNorm it does not mix examples, so there is a likelihood; ``gamma``, ``beta``
    and ``tau`` are parameters like all others, so there is a prior, if one is given to all of ``network.shapes``.

    Args:
        channels: How many.

    Source: Singh and Krishnan, 2020, Filter response normalization layer, https://arxiv.org/abs/1911.09737

    Example:
        >>> FilterResponseNorm(3)(torch.ones(2, 3, 4, 4)).shape
        torch.Size([2, 3, 4, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta, self.tau = (nn.Parameter(torch.empty(channels, 1, 1)) for _ in range(3))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as a rectifier of normalised responses."""
        nn.init.ones_(self.gamma)
        nn.init.zeros_(self.beta)
        nn.init.zeros_(self.tau)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x [N, channels, H, W]``."""
        scale = torch.rsqrt(x.square().mean((-2, -1), keepdim=True) + 1e-6)
        return torch.maximum(self.gamma * x * scale + self.beta, self.tau)


class Block(nn.Module):
    """Two 3x3 convolutions with filter response normalisation, around which the input passes by.

    A ``stride`` of 2 halves the image and lets a 1x1 convolution change the number of channels on the way around.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = FilterResponseNorm(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.last = FilterResponseNorm(outputs)
        same = inputs == outputs and stride == 1
        self.around = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``x [N, inputs, H, W]``."""
        return self.around(x) + self.last(self.second(silu(self.norm(self.first(x)))))


def resnet(depth: int = 20, channels: int = 3, classes: int = 10, width: int = 16) -> Network:
    """Build a residual network for small images with filter response normalisation, e.g. ResNet-20.

    A convolution, three groups of ``(depth - 2) / 6`` blocks with ``width``, ``2 width`` and ``4 width`` channels, the
    mean over the image, a linear layer.

    Args:
        depth: ``6 n + 2``.
        channels: Of the images.
        classes: How many outputs.
        width: Channels of the first group.

    Raises:
        ValueError: If ``depth`` is not ``6 n + 2`` with ``n`` 1 or more.

    Source: He et al., 2016, https://arxiv.org/abs/1512.03385; with this normalisation in Wenzel et al., 2020,
    https://arxiv.org/abs/2002.02405, and Izmailov et al., 2021, https://arxiv.org/abs/2104.14421

    Example:
        >>> resnet(20).size
        272970
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or not is_count(blocks):
        raise ValueError(f"depth is {depth}; wanted 6 n + 2, e.g. 20")
    layers = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), FilterResponseNorm(width)]
    now = width
    for group, outputs in enumerate((width, 2 * width, 4 * width)):
        for number in range(blocks):
            layers.append(Block(now, outputs, 2 if group and not number else 1))
            now = outputs
    return Network(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(now, classes)))


def cnn(pixels: int, channels: int = 1, classes: int = 10, width: int = 8) -> Network:
    """Build a small convolutional network: two 3x3 convolutions, each before a pooling by 2, and a linear layer.

    Args:
        pixels: On each side of the images, a multiple of 4.
        channels: Of the images.
        classes: How many outputs.
        width: Channels of the first convolution; the second has twice as many.

    Raises:
        ValueError: If ``pixels`` is no multiple of 4.

    Example:
        >>> cnn(8).size
        1898
    """
    if not is_count(pixels) or pixels % 4:
        raise ValueError(f"pixels is {pixels}; wanted a multiple of 4, as images are halved twice")
    first = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    second = [nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    return Network(nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(2 * width * (pixels // 4) ** 2, classes)))
