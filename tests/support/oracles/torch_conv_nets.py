"""The convolutional networks in PyTorch, written down from the book and from the paper."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from oracles.torch_table import Tensor

with suppress(ImportError):  # pytest looks for doctests in this file also where there is no PyTorch
    from torch.nn import functional as F

__all__ = ["Numbers", "deep_conv_net", "res_net", "simple_conv_net"]


class Numbers:
    """A network's parameters and statistics by name, taken in the order in which they are used.

    Parameters
    ----------
    parameters, statistics
        ``W1 b1 W2 ...``, affine weights as the course has them, (D, H); ``running_mean1 running_var1 ...``.
    """

    def __init__(self, parameters: Mapping[str, Tensor], statistics: Mapping[str, Tensor]) -> None:
        self.parameters = parameters
        self.statistics = statistics
        self.training = True
        self._used: Counter[str] = Counter()

    def begin(self, *, training: bool) -> None:
        """Another pass through the network."""
        self.training = training
        self._used.clear()

    def take(self, name: str) -> Tensor:
        """The next ``W`` for ``"W"``: W1 first, then W2."""
        self._used[name] += 1
        return {**self.parameters, **self.statistics}[f"{name}{self._used[name]}"]

    def convolution(self, x: Tensor, stride: int = 1, pad: int = 0) -> Tensor:
        """With the next W and b."""
        return F.conv2d(x, self.take("W"), self.take("b"), stride, pad)

    def affine(self, x: Tensor) -> Tensor:
        """With the next W and b."""
        return F.linear(x.flatten(start_dim=1), self.take("W").T, self.take("b"))

    def normalization(self, x: Tensor) -> Tensor:
        """With the next gamma and beta, in training with the batch's statistics, which the running means follow."""
        mean, var = self.take("running_mean"), self.take("running_var")
        gamma, beta = self.take("gamma"), self.take("beta")
        if self.training and x[:, 0].numel() == 1:
            # PyTorch refuses a channel of one number. That is its own mean, and has no variance to keep.
            mean.copy_(0.9 * mean + 0.1 * x.detach()[0, :, 0, 0])
            return gamma[:, None, None] * (x - x) + beta[:, None, None]
        return F.batch_norm(x, mean, var, gamma, beta, training=self.training, momentum=0.1, eps=1e-5)


def simple_conv_net(p: Numbers, x: Tensor, stride: int, pad: int) -> Tensor:
    """Chapter 7 of the book: convolution, ReLU, pooling, affine, ReLU, affine."""
    x = F.max_pool2d(F.relu(p.convolution(x, stride, pad)), 2)
    return p.affine(F.relu(p.affine(x)))


def deep_conv_net(p: Numbers, x: Tensor, pads: Sequence[int], drop: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Chapter 8: two convolutions and a pooling, three times; affine, ReLU, dropout, affine, dropout.

    `drop` is what the first dropout and the second do.
    """
    for first, second in zip(pads[::2], pads[1::2], strict=True):
        x = F.max_pool2d(F.relu(p.convolution(F.relu(p.convolution(x, 1, first)), 1, second)), 2)
    x = drop(F.relu(p.affine(x)), 1)
    return drop(p.affine(x), 2)


def res_net(p: Numbers, x: Tensor, filter_nums: Sequence[int], blocks: int) -> Tensor:
    """He et al. (2015), section 4.2; parameters are used in the order: branch first, then the way around it."""
    x = F.relu(p.normalization(p.convolution(x, 1, 1)))
    width = filter_nums[0]
    for stage, filters in enumerate(filter_nums):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = F.relu(p.normalization(p.convolution(x, stride, 1)))
            y = p.normalization(p.convolution(y, 1, 1))
            changes = stride == 2 or filters != width
            x = F.relu(y + (p.normalization(p.convolution(x, stride)) if changes else x))
            width = filters
    return p.affine(x.mean(dim=(2, 3)))
