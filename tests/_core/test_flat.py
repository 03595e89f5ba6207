"""A network's flat buffer as an optimizer sees it: what is assigned lies in the buffer."""

import numpy as np
import pytest

from xpnet import to_numpy
from xpnet._core.flat import Flat
from xpnet.errors import XpnetError


def test_what_is_assigned_is_written_into_the_buffer():
    buffer = np.arange(4.0)
    flat, part = Flat({"all": buffer}, {"marks"}), buffer[1:3]
    flat["all"] = 2 * buffer
    assert flat["all"] is buffer
    assert part.tolist() == [2.0, 4.0]  # what layers hold is a view
    flat["all"] *= 0.5
    assert flat["all"] is buffer
    assert buffer.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert flat.optimizer_marks == {"marks"}


def test_a_step_as_the_course_writes_it(be):
    buffer = be.put(np.arange(4.0))
    flat = Flat({"all": buffer})
    if be.name == "jax":
        pytest.skip("its arrays cannot be written to, and have no flat buffer")
    flat["all"] = flat["all"] - 0.5 * be.put(np.ones(4))
    assert flat["all"] is buffer
    assert to_numpy(buffer).tolist() == [-0.5, 0.5, 1.5, 2.5]


@pytest.mark.parametrize("value", [np.zeros(3), np.zeros((1, 4)), 1.0, np.zeros(4, np.float32)])
def test_what_has_another_form_is_refused(value):
    buffer = np.arange(4.0)
    with pytest.raises(XpnetError, match="all"):
        Flat({"all": buffer})["all"] = value
    assert buffer.tolist() == [0.0, 1.0, 2.0, 3.0]
