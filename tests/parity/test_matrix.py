"""Which columns of the matrix were run: one skip, with its reason, for each that was not."""

import pytest
from matrix import ABSENT, BACKENDS, TAKING_PART


@pytest.mark.parametrize("name", BACKENDS)
def test_backend_takes_part(name):
    if name in ABSENT:
        pytest.skip(f"the backend {name} does not take part: {ABSENT[name]}")
    assert name in TAKING_PART
