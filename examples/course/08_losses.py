"""Losses: mean squared error and cross entropy (course row 8)."""

import numpy as np

from xpnet import asarray, cross_entropy_error, mean_squared_error, to_numpy
from xpnet.plotting import new_figure, save_figure

# %% Ten probabilities for an image of a 2: the highest first for 2, then for 7
t = asarray([0, 0, 1, 0, 0, 0, 0, 0, 0, 0], dtype="float64")
for y in ([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0], [0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0]):
    error, entropy = mean_squared_error(asarray(y), t), cross_entropy_error(asarray(y), t)
    print(f"highest at {np.argmax(y)}: mean squared error {float(error):.4f}, cross entropy {float(entropy):.5f}")

# %% The table of the course note: the correct class is 3, with probability 0.51
y = asarray([0.1, 0.1, 0.1, 0.51, 0.09, 0.1, 0, 0, 0, 0])
t = asarray([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], dtype="float64")
print(f"mean squared error = {float(mean_squared_error(y, t)):.4f}")
print(f"cross entropy = {float(cross_entropy_error(y, t)):.5f}")

# %% Class indices as labels give the same, and a batch gives the average of its rows
xp_batch = asarray([to_numpy(y), to_numpy(y)])
print(f"cross entropy, label as an index = {float(cross_entropy_error(y, asarray(3))):.5f}")
print(f"cross entropy of a batch of two = {float(cross_entropy_error(xp_batch, asarray([3, 3]))):.5f}")

# %% Both losses by the probability of the correct class; the nine others share the rest
shares = np.linspace(0, 1, 201)[1:]
figure = new_figure(figsize=(6, 3.6), layout="constrained")
axes = figure.subplots()
rows = [np.where(np.arange(10) == 3, share, (1 - share) / 9) for share in shares]
axes.plot(shares, [float(cross_entropy_error(asarray(row), t)) for row in rows], label="cross entropy")
axes.plot(shares, [float(mean_squared_error(asarray(row), t)) for row in rows], "--", label="mean squared error")
axes.set(title="The loss of an answer", xlabel="probability of the correct class", ylabel="loss")
axes.legend()
axes.grid(alpha=0.3)
print("Written:", save_figure(figure, "output/course/08_losses.png"))
