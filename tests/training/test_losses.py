"""The losses of steps: kept on the device, and fetched at once in the order of the steps."""

import numpy as np

from xpnet.training.losses import Losses


def test_losses_come_in_the_order_of_their_steps(be):
    losses = Losses()
    assert losses.fetch() == []
    for _ in range(2):  # the second time after everything was taken away
        losses.add(be.put(np.array(1.5)))
        assert (losses.count, losses.last()) == (1, 1.5)
        losses.add(be.put(np.array(2.5)))
        assert (losses.count, losses.last()) == (2, 2.5)
        losses.add_block(be.put(np.array([3.5, 4.5, 5.5])))
        assert (losses.count, losses.last()) == (5, 5.5)
        losses.add_block(be.put(np.array([6.5, 7.5])))
        assert (losses.count, losses.last()) == (7, 7.5)
        losses.add(be.put(np.array(8.5)))
        assert (losses.count, losses.last()) == (8, 8.5)
        assert losses.fetch(be.put(np.array(9.0))) == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.0]
        assert losses.count == 0
    assert losses.fetch() == []
    assert losses.fetch(be.put(np.array(9.0)), be.put(np.array(10.0))) == [9.0, 10.0]
