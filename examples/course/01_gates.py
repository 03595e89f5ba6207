"""Perceptrons: AND, NAND and OR with weights set by hand, and XOR made of all three (course row 1).

A perceptron divides the plane of its inputs by one straight line. No straight line separates (0, 1) and (1, 0) from the
other two points, so XOR needs a second layer.
"""

import numpy as np

from xpnet import AND, NAND, OR, XOR, asarray, to_numpy
from xpnet.plotting import new_figure, save_figure

GATES = (AND, NAND, OR, XOR)

# %% Truth tables
for gate in GATES:
    for x1, x2 in ((0, 0), (0, 1), (1, 0), (1, 1)):
        print(f"{gate.__name__}({x1}, {x2}) = {gate(x1, x2)}")

# %% The same gates on whole arrays
x1, x2 = asarray([0, 0, 1, 1]), asarray([0, 1, 0, 1])
for gate in GATES:
    print(f"{gate.__name__}({to_numpy(x1)}, {to_numpy(x2)}) = {to_numpy(gate(x1, x2))}")

# %% The output of each gate for every point of the plane
side = np.linspace(-0.5, 1.5, 401)
x1, x2 = (asarray(x) for x in np.meshgrid(side, side))
figure = new_figure(figsize=(10, 3.2), layout="constrained")
grid = figure.subplots(1, 4, sharey=True)
for gate, axes in zip(GATES, grid, strict=True):
    axes.contourf(side, side, to_numpy(gate(x1, x2)), levels=(-0.5, 0.5, 1.5), colors=("white", "lightblue"))
    for says, marker, color in ((1, "^", "tab:blue"), (0, "o", "tab:red")):
        corners = [(a, b) for a in (0, 1) for b in (0, 1) if gate(a, b) == says]
        axes.plot(*zip(*corners, strict=True), marker, color=color, markersize=9, label=f"{says}")
    axes.set(title=gate.__name__, xlabel="x1", xticks=(0, 1), yticks=(0, 1), aspect="equal")
grid[0].set_ylabel("x2")
figure.legend(*grid[0].get_legend_handles_labels(), title="output", loc="outside right center")
figure.suptitle("Output 1 of each gate (blue): one straight line is enough for each, but not for XOR")
print("Written:", save_figure(figure, "output/course/01_gates.png"))
