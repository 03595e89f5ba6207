"""Batch normalization: training from initial weights of sixteen sizes, with and without it (course row 20).

Pass a whole number after the program's name to try only that many of the sixteen.
"""

import sys
import warnings

import numpy as np

from xpnet import MultiLayerNet, Trainer, load_mnist
from xpnet.plotting import plot_run_grid, save_figure

count = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 16

# %% A thousand images, six layers, twenty epochs: the training accuracy after each
(x_train, t_train), _ = load_mnist(normalize=False)
x_train, t_train = x_train[:1000], t_train[:1000]


def train(std, use_batchnorm):
    """The accuracies of a network whose initial weights have this standard deviation."""
    network = MultiLayerNet(784, [100] * 5, 10, weight_init_std=std, use_batchnorm=use_batchnorm, seed=0)
    trainer = Trainer(
        network, x_train, t_train, None, None, epochs=20, mini_batch_size=100,
        optimizer_param={"lr": 0.01}, verbose=False, seed=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the largest weights overflow float32: the trainer stops with a warning
        accuracies = trainer.train().train_acc
    return accuracies + [accuracies[-1]] * (21 - len(accuracies))  # the accuracy stays the same


# %% Standard deviations from 1 down to 0.0001, evenly spaced on a logarithmic axis
stds = np.logspace(0, -4, count)
panels = {}
print("standard deviation   without     with batch normalization: accuracy after 20 epochs")
for std in stds:
    without, with_it = train(std, False), train(std, True)
    panels[f"std {std:.5f}"] = {"without": without, "with batch normalization": with_it}
    print(f"{std:18.5f} {without[-1]:9.3f} {with_it[-1]:8.3f}")

# %% How many learn; a guess is correct once in ten
for name in ("without", "with batch normalization"):
    last = np.array([runs[name][-1] for runs in panels.values()])
    print(f"{name}: {np.count_nonzero(last > 0.3)} of {count} learn (accuracy above 0.3)")
figure = plot_run_grid(panels, title="Training accuracy by the standard deviation of the initial weights")
print("Written:", save_figure(figure, "output/course/22_batch_normalization.png"))
