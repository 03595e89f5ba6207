"""Exercise: the sigmoid function.

The first networks of the course use the sigmoid as their activation: h(x) = 1 / (1 + exp(-x)). Unlike the step
function it is smooth, so a network can be trained with it (course row 2). Write your answers where it says
`...  # your code here`; the next cell tells you whether they are correct.
"""

import matplotlib.pyplot as plt
import numpy as np

import xpnet

# %% [markdown]
# ## 1. The function
#
# **실습:** NumPy 배열 `x`를 받아 원소마다 시그모이드 함수의 값을 돌려주는 `sigmoid(x)`를 구현하시오.
#
# The function takes a NumPy array and returns an array of the same shape.


# %%
def sigmoid(x):
    # BEGIN SOLUTION
    return 1 / (1 + np.exp(-x))
    # END SOLUTION


# %% Check the function
matrix = np.array([[-5.0, 0.0], [2.5, -0.1]])
for x, expected in (
    (np.array([0.3, 0.7, 1.1]), np.array([0.57444252, 0.66818777, 0.75026011])),  # the course's figures
    (matrix, xpnet.sigmoid(matrix)),
):
    try:
        y = sigmoid(x)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"sigmoid cannot take the array\n{x}\n({error}). Hint: np.exp, not math.exp.") from error
    assert y is not None, "sigmoid returns nothing yet. Fill the blank, and end it with `return ...`."
    assert isinstance(y, np.ndarray), f"Expected a NumPy array, as x is one, got {y!r}. Hint: np.exp takes arrays."
    told = f"For\n{x}\nexpected\n{expected}, got\n{y}\nHint:"
    assert y.shape == x.shape, f"{told} one number for each of x."
    assert not np.allclose(y, 1 / (1 + np.exp(x))), f"{told} the minus in exp(-x) is missing."
    assert not np.allclose(y, 1 / 1 + np.exp(-x)), f"{told} what is divided by needs parentheses, 1 / (1 + ...)."
    assert np.allclose(y, expected, rtol=0, atol=1e-8), f"{told} 1 / (1 + exp(-x))."
print("All right: this is the sigmoid.")

# %% [markdown]
# ## 2. Draw it
#
# **실습:** `x`를 -5.0에서 5.0까지 0.1 간격으로 만들어 시그모이드 함수의 그래프를 그리시오. `y`축의 범위는 -0.1에서
# 1.1까지로 한다.
#
# Make `x` from -5.0 to 5.0 in steps of 0.1, compute `y`, draw the curve with `plt.plot`, and set the range of the y
# axis, from -0.1 to 1.1, with `plt.ylim`.

# %%
figure, axes = plt.subplots()
# BEGIN SOLUTION
x = np.arange(-5.0, 5.0, 0.1)
y = sigmoid(x)
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
assert np.allclose(drawn_y, xpnet.sigmoid(drawn_x)), "The curve is not the sigmoid's. Draw its y over x."
assert np.allclose(axes.get_ylim(), (-0.1, 1.1)), (
    f"Expected the y axis from -0.1 to 1.1, it goes {axes.get_ylim()}. Hint: plt.ylim(-0.1, 1.1)"
)
print("All right: the picture shows the smooth rise from 0 to 1.")

# %% [markdown]
# ## 3. Compare it with the step function
#
# **실습:** 시그모이드 함수(실선)와 계단 함수(점선)를 한 그래프에 함께 그리시오.
#
# Draw both in one picture, over the same `x`: the sigmoid as a solid line, and then the step function as a dashed line,
# `plt.plot(x, y, "--")`. Use `xpnet.step_function`, or copy your own.

# %%
figure, axes = plt.subplots()
x = np.arange(-5.0, 5.0, 0.1)
# BEGIN SOLUTION
plt.plot(x, sigmoid(x))
plt.plot(x, xpnet.step_function(x), "--")
# END SOLUTION
plt.show()

# %% Check both curves
assert len(axes.lines) == 2, f"Expected two curves in one picture, there are {len(axes.lines)}. Fill the blank."
curves = {line.get_linestyle(): line for line in axes.lines}
assert set(curves) == {"-", "--"}, (
    f"Expected one solid line and one dashed, got {[line.get_linestyle() for line in axes.lines]}. "
    'Hint: plt.plot(x, y, "--") draws the step function dashed.'
)
assert all(np.array_equal(line.get_xdata(), np.arange(-5.0, 5.0, 0.1)) for line in axes.lines), (
    "Both curves should be drawn over x. Hint: plt.plot(x, ...)"
)
assert np.allclose(curves["-"].get_ydata(), xpnet.sigmoid(np.arange(-5.0, 5.0, 0.1))), (
    "The solid line is not the sigmoid. Hint: plt.plot(x, sigmoid(x))"
)
assert np.array_equal(curves["--"].get_ydata(), xpnet.step_function(np.arange(-5.0, 5.0, 0.1))), (
    'The dashed line is not the step function. Hint: plt.plot(x, xpnet.step_function(x), "--")'
)
print("All right: one jumps, the other is smooth, and both go from 0 to 1.")
