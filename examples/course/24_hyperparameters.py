"""Random search for hyperparameters: learning rate and weight decay, scored on a validation set (course row 20).

Pass a whole number after the program's name to make that many trials instead of 100.
"""

import sys

import numpy as np

from xpnet import MultiLayerNet, Trainer, load_mnist
from xpnet.plotting import save_figure
from xpnet.search import LogUniform, random_search

trials = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 100

# %% Five hundred images, a fifth of them for validation; the test images are not used
(x_train, t_train), _ = load_mnist(normalize=False)
x_train, t_train = x_train[:500], t_train[:500]


def train(lr, weight_decay):
    """Train a seven-layer network for fifty epochs; the score is the final validation accuracy."""
    network = MultiLayerNet(784, [100] * 6, 10, weight_decay_lambda=weight_decay, seed=0)
    trainer = Trainer(
        network, x_train, t_train, None, None, epochs=50, mini_batch_size=100,
        optimizer_param={"lr": lr}, validation=0.2, evaluate_sample_num_per_epoch=100, verbose=False, seed=0,
    )  # fmt: skip
    return trainer.train()


# %% Draw both on a logarithmic scale, train, and list the best trials
space = {"lr": LogUniform(1e-6, 1e-2), "weight_decay": LogUniform(1e-8, 1e-4)}
result = random_search(train, space, trials=trials, seed=0)
print(result.table(10))

# %% The range of the best five, and which of the two matters
scores = [trial.score for trial in result.trials]
for name in space:
    best = [trial.params[name] for trial in result.ranked[:5]]
    orders = np.log10([trial.params[name] for trial in result.trials])
    correlation = np.corrcoef(orders, scores)[0, 1]
    print(
        f"{name}: the best five from {min(best):.1e} to {max(best):.1e}; correlation with the score {correlation:.2f}"
    )

# %% The best twenty by epoch, and all scores by each hyperparameter
print("Written:", save_figure(result.plot_curves(20), "output/course/24_best.png"))
print("Written:", save_figure(result.plot(), "output/course/24_search.png"))
