"""Optimizers: their paths down a long valley, and how fast each learns MNIST (course row 20).

Pass a whole number after the program's name to make that many iterations instead of 2,000.
"""

import sys

import numpy as np

from xpnet import MultiLayerNet, Trainer, asarray, load_mnist, to_numpy
from xpnet.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from xpnet.plotting import plot_paths, plot_runs, save_figure

iterations = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 2_000


def valley(x, y):
    """A function that is steep in y and almost level in x; its minimum is at the origin."""
    return x**2 / 20 + y**2


# %% Thirty steps from (-7, 2), each optimizer with a suitable learning rate
slope = asarray([1 / 10, 2.0])  # the gradient at a point is slope * point
optimizers = {
    "SGD": SGD(lr=0.95), "Momentum": Momentum(lr=0.1), "Nesterov": Nesterov(lr=0.1),
    "AdaGrad": AdaGrad(lr=1.5), "RMSprop": RMSprop(lr=0.3, decay_rate=0.9), "Adam": Adam(lr=0.3),
}  # fmt: skip
paths = {}
for name, optimizer in optimizers.items():
    params = {"point": asarray([-7.0, 2.0])}
    path = [to_numpy(params["point"]).copy()]
    for _ in range(30):
        optimizer.update(params, {"point": slope * params["point"]})
        path.append(to_numpy(params["point"]).copy())
    paths[f"{name}, lr {optimizer.lr}"] = np.stack(path)
    length, left = np.linalg.norm(np.diff(path, axis=0), axis=1).sum(), np.linalg.norm(path[-1])
    print(f"{name} at lr {optimizer.lr}: path of length {length:.1f}, ends {left:.2f} from the minimum")
print(f"The straight path has length {np.linalg.norm(path[0]):.1f}.")
figure = plot_paths(valley, paths, xlim=(-8, 4), ylim=(-3, 3), minimum=(0, 0), columns=3, title="x² / 20 + y²")
print("Written:", save_figure(figure, "output/course/20_paths.png"))

# %% MNIST: five layers, the same weights and minibatches for each optimizer, and its usual learning rate
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
losses = {}
for name in ("SGD", "Momentum", "AdaGrad", "Adam"):
    network = MultiLayerNet(784, [100, 100, 100, 100], 10, seed=0)
    trainer = Trainer(
        network, x_train, t_train, x_test, t_test, iterations=iterations, mini_batch_size=128,
        optimizer=name, optimizer_param={}, evaluate_sample_num_per_epoch=1000, verbose=False, seed=0,
    )  # fmt: skip
    losses[name] = trainer.train().loss
    mean, last = np.mean(losses[name]), np.mean(losses[name][-100:])
    accuracy = trainer.test_acc_list[-1]
    print(f"{trainer.optimizer}: mean loss {mean:.3f}, of the last 100 {last:.3f}, test accuracy {accuracy:.3f}")
slowest, fastest = (pick(losses, key=lambda name: np.mean(losses[name])) for pick in (max, min))
print(f"By the mean loss {fastest} is the fastest and {slowest} the slowest.")

# %% The loss by iteration, smoothed
figure = plot_runs(losses, smooth=51, ylim=(0, 1), title="The same network and minibatches, four optimizers")
print("Written:", save_figure(figure, "output/course/20_mnist.png"))
