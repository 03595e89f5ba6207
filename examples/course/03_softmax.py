"""Softmax compared with dividing by the sum (course row 3).

Both turn numbers into shares that add up to 1. Dividing by the sum depends on ratios: it cannot tell [1, 2] from
[10, 20]. Softmax depends on differences: with a difference of ten, one share is almost 1.
"""

from xpnet import asarray, get_array_module, softmax, to_numpy
from xpnet.plotting import new_figure, save_figure


def std_norm(x):
    """Each number divided by the sum of all."""
    xp = get_array_module(x)
    return x / xp.sum(x)


# %% Both for the same numbers
inputs = ([1, 2], [10, 20])
for numbers in inputs:
    x = asarray(numbers, dtype="float64")
    print(f"softmax({numbers}) =", to_numpy(softmax(x)))
    print(f"std_norm({numbers}) =", to_numpy(std_norm(x)).tolist())

# %% Large numbers do not overflow, and each row of a batch is computed separately
print("softmax([1010, 1000, 990]) =", to_numpy(softmax(asarray([1010.0, 1000.0, 990.0]))))
print("softmax of two rows, [1, 2] and [1001, 1002]:")
print(to_numpy(softmax(asarray([[1.0, 2.0], [1001.0, 1002.0]]))))

# %% A plot
figure = new_figure(figsize=(8, 3.2), layout="constrained")
grid = figure.subplots(1, 2, sharey=True)
for axes, numbers in zip(grid, inputs, strict=True):
    x = asarray(numbers, dtype="float64")
    for shift, function in ((-0.2, softmax), (0.2, std_norm)):
        bars = axes.bar([place + shift for place in range(2)], to_numpy(function(x)), 0.4, label=function.__name__)
        axes.bar_label(bars, fmt="%.4g", fontsize=9)
    axes.set(title=str(numbers), xticks=range(2), xticklabels=numbers, xlabel="x", ylim=(0, 1.1))
grid[0].set_ylabel("share")
grid[0].legend(loc="upper left")
figure.suptitle("Softmax sees the difference, dividing by the sum only the ratio")
print("Written:", save_figure(figure, "output/course/03_softmax.png"))
