"""The losses of training steps, kept on the device."""

from xpnet._core.arrays import Array, get_array_module, to_numpy


class Losses:
    """The losses of steps, on the device until they are fetched."""

    def __init__(self) -> None:
        self._blocks: list[Array] = []
        self._singles: list[Array] = []
        self.count = 0

    def add(self, loss: Array) -> None:
        """Add the loss of a step, 0-d."""
        self._singles.append(loss)
        self.count += 1

    def add_block(self, losses: Array) -> None:
        """Add the losses of some steps, (n,)."""
        self._settle()
        self._blocks.append(losses)
        self.count += losses.shape[0]

    def last(self) -> float:
        """The newest loss; waits for the device."""
        return float(self._singles[-1] if self._singles else self._blocks[-1][-1])

    def fetch(self, *others: Array) -> list[float]:
        """All of them, in order, and `others`, 0-d, behind them; waits for the device, once. Then there are none."""
        singles = [*self._singles, *others]
        blocks = [*self._blocks, *([get_array_module(singles[0]).stack(singles)] if singles else [])]
        if not blocks:
            return []
        fetched = to_numpy(blocks[0] if len(blocks) == 1 else get_array_module(blocks[0]).concat(blocks)).tolist()
        self._blocks, self._singles, self.count = [], [], 0
        return fetched

    def _settle(self) -> None:
        if self._singles:
            self._blocks.append(get_array_module(self._singles[0]).stack(self._singles))
            self._singles = []
