"""Numerical gradient and backpropagation: the time of the same step (course row 17).

One of the course notes shows 54 m 46.8 s for training without backpropagation. This program shows why.
Pass a whole number after the program's name to have that many hidden units instead of 50.
"""

import sys
import time

from xpnet import TwoLayerNet, asarray, load_mnist, to_numpy
from xpnet.backend import synchronize
from xpnet.plotting import new_figure, save_figure

hidden_size = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 50
(x_train, t_train), _ = load_mnist()
x, t = asarray(x_train[:100]), asarray(t_train[:100])
network = TwoLayerNet(784, hidden_size, 10, seed=0)


def seconds_a_step(gradient, repeats):
    """Return the seconds that one step with this gradient takes, and the gradient."""
    begun = time.perf_counter()
    for _ in range(repeats):
        grads = gradient(x, t)
        for key in network.params:
            network.params[key] -= 0 * grads[key]  # a step of length 0, so that both see the same parameters
    synchronize()
    return (time.perf_counter() - begun) / repeats, grads


# %% One step each, on the same hundred images
seconds_a_step(network.gradient, 10)  # untimed, to warm up
by_backpropagation, grads = seconds_a_step(network.gradient, 200)
by_differences, numerical = seconds_a_step(network.numerical_gradient, 1)
for key in grads:
    print(f"{key}: mean difference of the two gradients {abs(to_numpy(grads[key] - numerical[key])).mean():.1e}")

# %% Extrapolated to ten thousand steps
for name, seconds in (("backpropagation", by_backpropagation), ("numerical gradient", by_differences)):
    hours = seconds * 10_000 / 3600
    print(f"{name}: {seconds:.6f} s a step; 10,000 steps (extrapolated): {seconds * 10_000:,.1f} s, {hours:.4f} h")
ratio = by_differences / by_backpropagation
print(f"backpropagation is {ratio:,.0f} times as fast, with {network.backend.describe()}")

# %% A plot; each grid line is ten times the one before
figure = new_figure(figsize=(7, 2.4), layout="constrained")
axes = figure.subplots()
bars = axes.barh(
    ("backpropagation", "numerical gradient"), (by_backpropagation, by_differences), color=("tab:blue", "tab:red")
)
axes.bar_label(bars, [f" {by_backpropagation * 1e3:.2f} ms", f" {by_differences:.1f} s"])
axes.set(
    title=f"One step of {network.state.parameter_count:,} parameters: {ratio:,.0f} times",
    xlabel="seconds a step",
    xscale="log",
)
axes.margins(x=0.15)
axes.grid(axis="x", alpha=0.3)
print("Written:", save_figure(figure, "output/course/18_without_backpropagation.png"))
