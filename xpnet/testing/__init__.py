"""Checks for layers of one's own, and a backend that counts what a step asks of a device."""

from xpnet.testing.checks import assert_array, check_layer, error_in_eps
from xpnet.testing.counting import COUNTING, CountedArray, Counts, count_operations

__all__ = ["COUNTING", "CountedArray", "Counts", "assert_array", "check_layer", "count_operations", "error_in_eps"]
