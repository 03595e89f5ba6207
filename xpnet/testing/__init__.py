"""Checks for layers of one's own, and a backend that counts what a step asks of a device."""

from xpnet.testing.checks import assert_array, check_layer, error_in_eps

__all__ = ["assert_array", "check_layer", "error_in_eps"]
