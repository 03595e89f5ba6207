"""Exercise: the step function.

A perceptron answers 1 or 0. Its activation is the step function: h(x) = 1 where x > 0, and h(x) = 0 where x <= 0.
Write it for whole arrays, then draw it (course row 2). Write your answers where it says `...  # your code here`; the
next cell tells you whether they are correct.
"""

import matplotlib.pyplot as plt
import numpy as np

import xpnet

# %% [markdown]
# ## 1. The function
#
# **실습:** NumPy 배열 `x`를 받아 원소마다 계단 함수의 값(0 또는 1)을 돌려주는 `step_function(x)`를 구현하시오.
#
# The function takes a NumPy array and returns an array of the same shape: the number 1 where `x` is greater than 0, and
# the number 0 elsewhere, also at 0.


# %%
def step_function(x):
    # BEGIN SOLUTION
    positive = x > 0
    return positive.astype(np.int64)
    # END SOLUTION


# %% Check the function
for x, expected in (
    (np.array([-2.0, -0.5, 0.0, 0.5, 2.0]), np.array([0, 0, 0, 1, 1])),
    (np.array([[0.1, -0.1, 3.0], [-4.0, 7.0, 0.0]]), np.array([[1, 0, 1], [0, 1, 0]])),
):
    before = x.copy()
    try:
        y = step_function(x)
    except ValueError as error:
        raise AssertionError(
            f"step_function cannot take the array\n{x}\nHint: an `if x > 0` asks a whole array one question. Without "
            "the `if`, `x > 0` answers for each number."
        ) from error
    assert y is not None, "step_function returns nothing yet. Fill the blank, and end it with `return ...`."
    assert np.array_equal(x, before), "step_function changed the array that it was given. Hint: return a new array."
    assert isinstance(y, np.ndarray), f"Expected a NumPy array, as x is one, got {y!r}. Hint: begin with `x > 0`."
    assert y.dtype != bool, f"Expected the numbers 0 and 1, got\n{y}\nHint: .astype(np.int64) makes numbers of them."
    assert not np.array_equal(y, x >= 0), f"Expected 0 where x is 0, got 1:\n{y}\nHint: x > 0 is not x >= 0."
    assert np.array_equal(y, expected), f"For\n{x}\nexpected\n{expected}, got\n{y}\nHint: 1 where x > 0, 0 elsewhere."
print("All right: this is the step function.")

# %% [markdown]
# ## 2. Draw it
#
# **실습:** `x`를 -5.0에서 5.0까지 0.1 간격으로 만들어 계단 함수의 그래프를 그리시오. `y`축의 범위는 -0.1에서 1.1까지로
# 한다.
#
# Make `x` from -5.0 to 5.0 in steps of 0.1, compute `y`, draw the curve with `plt.plot`, and set the range of the y
# axis, from -0.1 to 1.1, with `plt.ylim`.

# %%
figure, axes = plt.subplots()
# BEGIN SOLUTION
x = np.arange(-5.0, 5.0, 0.1)
y = step_function(x)
plt.plot(x, y)
plt.ylim(-0.1, 1.1)
# END SOLUTION
plt.show()

# %% Check the picture
assert axes.lines, "There is no curve in the picture yet. Fill the blank; `plt.plot(x, y)` draws the curve."
drawn_x, drawn_y = axes.lines[0].get_data()
assert len(drawn_x) in (100, 101), (
    f"Expected 100 points, from -5.0 to 5.0 in steps of 0.1, got {len(drawn_x)}. Hint: np.arange(-5.0, 5.0, 0.1)"
)
assert np.allclose(drawn_x, -5 + 0.1 * np.arange(len(drawn_x))), (
    f"Expected x from -5.0 to 5.0, got {drawn_x[0]} to {drawn_x[-1]}. Hint: np.arange(-5.0, 5.0, 0.1) is x, "
    "and x comes first in plt.plot(x, y)."
)
assert np.array_equal(drawn_y, xpnet.step_function(drawn_x)), "The curve is not the step function's. Draw its y over x."
assert np.allclose(axes.get_ylim(), (-0.1, 1.1)), (
    f"Expected the y axis from -0.1 to 1.1, it goes {axes.get_ylim()}. Hint: plt.ylim(-0.1, 1.1)"
)
print("All right: the picture shows the jump at 0.")
