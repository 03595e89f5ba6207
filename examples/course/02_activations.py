"""Activation functions: step, sigmoid and ReLU, their derivatives, and step compared with sigmoid (course row 2)."""

import numpy as np

from xpnet import asarray, relu, sigmoid, step_function, to_numpy
from xpnet.functions import relu_grad, sigmoid_grad
from xpnet.plotting import new_figure, save_figure

# %% Some values
x = asarray([-1.0, 1.0, 2.0])
print("step_function([-1, 1, 2]) =", to_numpy(step_function(x)))
print("relu([-1, 1, 2]) =", to_numpy(relu(x)))
print("sigmoid([-1, 1, 2]) =", to_numpy(sigmoid(x)))
print("sigmoid([0.3, 0.7, 1.1]) =", to_numpy(sigmoid(asarray([0.3, 0.7, 1.1]))))

# %% Plots from -5.0 to 5.0 in steps of 0.1, with the derivatives that backpropagation needs
points = np.arange(-5.0, 5.0, 0.1)
x = asarray(points)
figure = new_figure(figsize=(11, 3.2), layout="constrained")
grid = figure.subplots(1, 3)
for axes, function, derivative in zip(
    grid, (step_function, sigmoid, relu), (None, sigmoid_grad, relu_grad), strict=True
):
    axes.plot(points, to_numpy(function(x)), label=function.__name__)
    if derivative is not None:
        axes.plot(points, to_numpy(derivative(x)), "--", label=derivative.__name__)
    axes.set(title=function.__name__, xlabel="x", ylabel="y")
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
print("Written:", save_figure(figure, "output/course/02_activations.png"))

# %% Step and sigmoid: one jumps, the other is smooth, and both approach 0 and 1
figure = new_figure(figsize=(6, 3.6), layout="constrained")
axes = figure.subplots()
axes.plot(points, to_numpy(sigmoid(x)), label="sigmoid")
axes.plot(points, to_numpy(step_function(x)), "k--", label="step_function")
axes.set(title="Step and sigmoid", xlabel="x", ylabel="y", ylim=(-0.1, 1.1))
axes.legend(loc="upper left")
axes.grid(alpha=0.3)
print("Written:", save_figure(figure, "output/course/02_step_and_sigmoid.png"))
