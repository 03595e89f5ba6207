"""The gates (course row 1): their tables, their weights, and whole arrays of every backend."""

import numpy as np
import pytest

from xpnet import AND, NAND, OR, XOR, asarray, one_hot, use_backend
from xpnet.errors import DtypeError

TABLES = {AND: [0, 0, 0, 1], NAND: [1, 1, 1, 0], OR: [0, 1, 1, 1], XOR: [0, 1, 1, 0]}
GATES = pytest.mark.parametrize(("gate", "table"), TABLES.items(), ids=lambda gate: getattr(gate, "__name__", ""))
X1, X2 = [0, 0, 1, 1], [0, 1, 0, 1]


@GATES
def test_numbers_give_numbers(gate, table):
    for number in (int, float, bool, np.float64):
        outputs = [gate(number(a), number(b)) for a, b in zip(X1, X2, strict=True)]
        assert outputs == table
        assert {type(output) for output in outputs} == {int}


@GATES
def test_arrays_give_arrays_of_their_own_kind(gate, table, be):
    be.check(gate(be.put(np.array(X1, float)), be.put(np.array(X2, float))), table, eps=0)


@GATES
def test_a_number_beside_an_array(gate, table, be):
    be.check(gate(1, be.put(np.array([0.0, 1.0]))), table[2:], eps=0)
    be.check(gate(be.put(np.array([0.0, 1.0])), 0), table[::2], eps=0)


@GATES
def test_integers_truth_values_and_lists(gate, table, be64):
    for kind in (np.int64, np.uint8, np.bool_):
        be64.check(gate(be64.put(np.array(X1, kind)), be64.put(np.array(X2, kind))), table, eps=0)
    with use_backend(be64.backend):
        be64.check(gate(X1, X2), table, eps=0)


def test_the_courses_weights_and_thresholds():
    """W = (0.5, 0.5), and theta = 0.7 for AND, 0.3 for OR: where exactly each begins to fire."""
    assert [AND(x, 0.7) for x in (0.6875, 0.71)] == [0, 1]
    assert [OR(x, 0.25) for x in (0.34, 0.36)] == [0, 1]
    assert [AND(0.9, x) for x in (0.49, 0.51)] == [0, 1]  # both weights are 0.5
    assert [OR(0.1, x) for x in (0.49, 0.51)] == [0, 1]
    assert AND(1.4, 0.0) == AND(np.array(1.4), 0.0) == 0  # 0.7 itself does not exceed 0.7
    side = np.linspace(-1, 2, 62)
    x1, x2 = np.meshgrid(side, side)
    assert np.array_equal(NAND(x1, x2), 1 - AND(x1, x2))  # the negation, everywhere


def test_what_is_no_number_is_an_error():
    with pytest.raises(DtypeError, match="Expected numbers"):
        AND("1", "0")


def test_a_gate_leaves_its_inputs_alone():
    x1, x2 = asarray([0.0, 1.0]), asarray([1.0, 1.0])
    XOR(x1, x2)
    assert (x1.tolist(), x2.tolist()) == ([0.0, 1.0], [1.0, 1.0])


def test_one_hot(be):
    rows = [[[0, 0, 1], [1, 0, 0]], [[0, 1, 0], [0, 0, 0]]]  # a label out of range has no 1
    labels = be.put(np.array([[2, 0], [1, 3]]))
    be.check(one_hot(labels, 3, be.dtype), rows, eps=0)
    assert one_hot([2, 0], 3).dtype == np.float32
