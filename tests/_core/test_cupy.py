"""The namespace over CuPy, with NumPy in its place: what it does otherwise while a stream is captured."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from xpnet._core.cupy import CupyNamespace
from xpnet.errors import CaptureError


@pytest.fixture
def xp():
    return CupyNamespace(np)


class Products:
    """What makes the products while a stream is captured: they are noted."""

    def __init__(self):
        self.made = []

    def matmul(self, a, b, out=None):
        self.made.append((a, b))
        return np.matmul(a, b, out=out)


def test_products_go_to_the_handle_in_a_capture_and_in_its_thread_alone(xp):
    x, products = np.ones((2, 2)), Products()
    xp.matmul(x, x)
    assert not products.made
    with xp.capturing(products):
        xp.matmul(x, x)
        xp.dot(x, x)
        assert len(products.made) == 2
        xp.dot(x, 2.0 * np.ones(()))  # a product of CuPy's own kernels
        with ThreadPoolExecutor(1) as other:
            other.submit(xp.matmul, x, x).result()
        assert len(products.made) == 2
        with pytest.raises(ZeroDivisionError), xp.capturing(None):
            xp.matmul(x, x)
            raise ZeroDivisionError
        xp.matmul(x, x, out=np.empty((2, 2)))
    assert len(products.made) == 3
    xp.dot(x, x)
    assert len(products.made) == 3


def test_what_every_launch_would_repeat_is_refused_in_a_capture(xp):
    x = xp.asarray([1.0, 2.0])
    assert xp.array(3.0) == 3.0
    assert xp.random is np.random
    with xp.capturing(Products()):
        assert xp.asarray(x) is x
        for name in ("asarray", "array"):
            with pytest.raises(CaptureError, match=rf"xp\.{name} of a value on the host \(float\)"):
                getattr(xp, name)(3.0)
        with pytest.raises(CaptureError, match=r"xp\.random: captured steps would draw"):
            xp.random.random(3)


def test_windows_are_numpys_and_a_view(xp):
    x = np.arange(2.0 * 5 * 6).reshape(2, 5, 6)
    windows = xp.sliding_window_view(x, (3, 2), (1, 2))
    np.testing.assert_array_equal(windows, np.lib.stride_tricks.sliding_window_view(x, (3, 2), (1, 2)))
    assert np.shares_memory(windows, x)


def test_other_names_are_cupys_own_and_looked_up_once():
    xp = CupyNamespace(SimpleNamespace(exp=np.exp, __version__="14.2.0"))
    assert xp.exp is np.exp
    assert "exp" in vars(xp)
    with pytest.raises(AttributeError, match="no_such"):
        xp.no_such  # noqa: B018
    assert repr(xp) == "<xpnet namespace over cupy 14.2.0>"
