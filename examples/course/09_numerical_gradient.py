"""Numerical gradients in one and two dimensions, and gradient descent (course row 9)."""

import numpy as np

from xpnet import asarray, get_array_module, gradient_descent, numerical_gradient, to_numpy
from xpnet.plotting import new_figure, save_figure


def function_1(x):
    """0.01 x^2 + 0.1 x."""
    return 0.01 * x**2 + 0.1 * x


def function_2(x):
    """The sum of the squares: the square of the distance from the origin."""
    return get_array_module(x).sum(x**2)


# %% One dimension: the slope and the tangent
points = np.arange(0.0, 20.0, 0.1)
figure = new_figure(figsize=(6, 3.6), layout="constrained")
axes = figure.subplots()
axes.plot(points, function_1(points), color="black", label="0.01 x² + 0.1 x")
for x in (5.0, 10.0):
    slope = float(numerical_gradient(function_1, asarray(x)))
    print(f"slope of function_1 at {x}: {slope:.10f}, exactly {0.02 * x + 0.1}")
    axes.plot(points, slope * (points - x) + function_1(x), "--", label=f"tangent at {x:g}, slope {slope:.1f}")
axes.set(title="A function and two of its tangents", xlabel="x", ylabel="f(x)", ylim=(-1, 6))
axes.legend()
axes.grid(alpha=0.3)
print("Written:", save_figure(figure, "output/course/09_tangents.png"))

# %% Two dimensions: the gradient at three points
for point in ([3.0, 4.0], [0.0, 2.0], [3.0, 0.0]):
    print(
        f"gradient of function_2 at {point}:", to_numpy(numerical_gradient(function_2, asarray(point))).round(6) + 0.0
    )

# %% The field of negative gradients, which points downhill everywhere
x0, x1 = np.meshgrid(np.linspace(-2, 2, 13), np.linspace(-2, 2, 13))
# At each point, the gradient of the sum over all points is the gradient of that point alone.
field = -to_numpy(numerical_gradient(function_2, asarray([x0, x1])))
figure = new_figure(figsize=(5, 5), layout="constrained")
axes = figure.subplots()
axes.quiver(x0, x1, *field, angles="xy", color="tab:blue")
axes.set(title="Minus the gradient of x0² + x1²", xlabel="x0", ylabel="x1", aspect="equal")
print("Written:", save_figure(figure, "output/course/09_gradient_field.png"))

# %% Descent from (-3, 4) with a good, a too large and a too small learning rate
start = asarray([-3.0, 4.0])
for lr in (0.1, 10.0, 1e-10):
    print(f"after 100 steps with lr={lr:g}:", to_numpy(gradient_descent(function_2, start, lr=lr, step_num=100)))
path = np.stack([to_numpy(gradient_descent(function_2, start, lr=0.1, step_num=n)) for n in range(21)])
figure = new_figure(figsize=(5, 5), layout="constrained")
axes = figure.subplots()
circle = np.linspace(-4.5, 4.5, 200)
axes.contour(circle, circle, circle[:, None] ** 2 + circle**2, levels=[1, 4, 9, 16, 25], colors="0.7", linestyles="--")
axes.plot(path[:, 0], path[:, 1], "o-", markersize=4)
axes.set(title="20 steps of gradient descent, lr 0.1", xlabel="x0", ylabel="x1", aspect="equal")
print("Written:", save_figure(figure, "output/course/09_descent.png"))
