"""Exercise: the ReLU function.

The rectified linear unit passes positive numbers and blocks the others: h(x) = x where x > 0, and h(x) = 0 elsewhere
(course row 2). Write your answers where it says `...  # your code here`; the next cell tells you whether they are
correct.
"""

import matplotlib.pyplot as plt
import numpy as np

import xpnet

# %% [markdown]
# ## 1. The function
#
# **실습:** NumPy 배열 `x`를 받아 원소마다 ReLU 함수의 값을 돌려주는 `relu(x)`를 구현하시오.
#
# The function takes a NumPy array and returns a new array of the same shape. It does not change its argument.


# %%
def relu(x):
    # BEGIN SOLUTION
    return np.maximum(0, x)
    # END SOLUTION


# %% Check the function
for x, expected in (
    (np.array([[1.0, -0.5], [-2.0, 3.0]]), np.array([[1.0, 0.0], [0.0, 3.0]])),  # the course's figures
    (np.array([-3.0, -0.1, 0.0, 0.1, 7.0]), np.array([0.0, 0.0, 0.0, 0.1, 7.0])),
):
    before = x.copy()
    try:
        y = relu(x)
    except ValueError as error:
        raise AssertionError(
            f"relu cannot take the array\n{x}\nHint: max(0, x) and `if x > 0` ask a whole array one question; "
            "np.maximum(0, x) asks for each number."
        ) from error
    assert y is not None, "relu returns nothing yet. Fill the blank, and end it with `return ...`."
    assert np.array_equal(x, before), "relu changed the array that it was given. Hint: return a new array."
    assert isinstance(y, np.ndarray), f"Expected a NumPy array, as x is one, got {y!r}. Hint: np.maximum, not np.max."
    told = f"For\n{x}\nexpected\n{expected}, got\n{y}\nHint:"
    assert not np.array_equal(y, np.abs(x)), f"{told} this is the absolute value; negative numbers become 0."
    assert not np.array_equal(y, x > 0), f"{told} this is the step function; positive numbers stay what they are."
    assert np.array_equal(y, expected), f"{told} the larger of 0 and x."
print("All right: this is ReLU.")

# %% [markdown]
# ## 2. Draw it
#
# **실습:** `x`를 -5.0에서 5.0까지 0.1 간격으로 만들어 ReLU 함수의 그래프를 그리시오.
#
# Make `x` from -5.0 to 5.0 in steps of 0.1, compute `y`, and draw the curve with `plt.plot`.

# %%
figure, axes = plt.subplots()
# BEGIN SOLUTION
x = np.arange(-5.0, 5.0, 0.1)
y = relu(x)
plt.plot(x, y)
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
assert np.array_equal(drawn_y, xpnet.relu(drawn_x)), "The curve is not ReLU's. Draw its y over x."
print("All right: the picture shows 0 on the left, and the diagonal on the right.")
