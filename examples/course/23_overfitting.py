"""Overfitting: seven layers and three hundred images, and the effect of weight decay and dropout (course row 20).

Pass a whole number after the program's name to train for that many epochs instead of 200.
"""

import sys

import numpy as np

from xpnet import MultiLayerNet, Trainer, load_mnist, to_numpy
from xpnet.plotting import plot_run_grid, save_figure

epochs = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 200

# %% Three hundred training images, and the first thousand test images
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
x_train, t_train = x_train[:300], t_train[:300]
ways = {
    "neither": {},
    "weight decay 0.1": {"weight_decay_lambda": 0.1},
    "dropout 0.2": {"use_dropout": True, "dropout_ratio": 0.2},
}

# %% Three runs with the same weights and minibatches
panels = {}
for name, options in ways.items():
    network = MultiLayerNet(784, [100] * 6, 10, **options, seed=0)
    trainer = Trainer(
        network, x_train, t_train, x_test, t_test, epochs=epochs, mini_batch_size=100,
        optimizer_param={"lr": 0.01}, evaluate_sample_num_per_epoch=1000, verbose=False, seed=0,
    )  # fmt: skip
    history = trainer.train()
    panels[name] = {"training": history.train_acc, "test": history.test_acc}
    train, test = history.train_acc[-1], history.test_acc[-1]
    weights = np.concatenate([np.ravel(to_numpy(W)) for key, W in network.params.items() if key.startswith("W")])
    print(
        f"{name}: {train:.3f} in training, {test:.3f} in the test, gap {train - test:.3f}; "
        f"standard deviation of the weights {weights.std():.4f}"
    )

# %% By epoch. Both narrow the gap; with so few images, neither improves the test accuracy
figure = plot_run_grid(panels, columns=3, dashed=["test"], title="300 images, seven layers")
print("Written:", save_figure(figure, "output/course/23_overfitting.png"))
