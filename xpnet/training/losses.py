"""The losses of training steps, kept on the device."""

from xpnet._core.arrays import Array, get_array_module, to_numpy


class Losses:
    """The losses of steps, on the device until they are fetched."""

    def __init__(self) -> None:
        self._losses: list[Array] = []
        self.count = 0

    def add(self, loss: Array) -> None:
        """Add the loss of a step, 0-d."""
        self._losses.append(loss)
        self.count += 1

    def add_block(self, losses: Array) -> None:
        """Add the losses of some steps, (n,)."""
        self._losses.append(losses)
        self.count += losses.shape[0]

    def last(self) -> float:
        """The newest loss; waits for the device."""
        newest = self._losses[-1]
        return float(newest[-1] if newest.ndim else newest)

    def fetch(self, *others: Array) -> list[float]:
        """All of them, in order, and `others`, 0-d, behind them; waits for the device, once. Then there are none."""
        losses = [array if array.ndim else array[None, ...] for array in (*self._losses, *others)]
        if not losses:
            return []
        fetched = to_numpy(losses[0] if len(losses) == 1 else get_array_module(losses[0]).concat(losses)).tolist()
        self._losses, self.count = [], 0
        return fetched
