"""Initial weights: their effect on the activations of each layer, and on training (course row 20).

Pass a whole number after the program's name to make that many iterations instead of 2,000.
"""

import sys

import numpy as np

from xpnet import MultiLayerNet, Trainer, asarray, load_mnist, to_numpy
from xpnet.plotting import plot_histograms, plot_runs, save_figure

iterations = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 2_000
samples = asarray(np.random.default_rng(0).standard_normal((1000, 100)), dtype="float32")


def activations(activation, how):
    """The outputs of five layers of 100 units each, by name."""
    network = MultiLayerNet(100, [100] * 5, 10, activation, how, seed=0)
    outputs, x = {}, samples
    for name, layer in network.layers.items():
        x = layer.forward(x)
        if name.lower().startswith(activation):
            outputs[f"layer {len(outputs) + 1}"] = to_numpy(x)
    return outputs


# %% Sigmoid: too large weights push its outputs to 0 and 1, too small ones to 0.5; Xavier's spread them
rows = {how: activations("sigmoid", how) for how in (1, 0.01, "xavier")}
for how, outputs in rows.items():
    last = outputs["layer 5"]
    print(
        f"sigmoid, {how}: in layer 5 {np.mean((last < 0.1) | (last > 0.9)):.0%} lie within 0.1 of 0 or 1, "
        f"{np.mean(abs(last - 0.5) < 0.1):.0%} within 0.1 of 0.5; standard deviation {last.std():.3f}"
    )
names = {1: "std 1", 0.01: "std 0.01", "xavier": "Xavier", "he": "He"}
figure = plot_histograms({names[how]: outputs for how, outputs in rows.items()}, title="Outputs of the sigmoid")
print("Written:", save_figure(figure, "output/course/21_sigmoid.png"))

# %% ReLU: only He's weights keep the spread from the first layer to the last
rows = {how: activations("relu", how) for how in (0.01, "xavier", "he")}
for how, outputs in rows.items():
    deviations = ", ".join(f"{output.std():.2g}" for output in outputs.values())
    print(f"relu, {how}: standard deviations of layers 1 to 5: {deviations}")
rows = {names[how]: outputs for how, outputs in rows.items()}
figure = plot_histograms(rows, ylim=(0, 7000), title="Outputs of ReLU; the first bar, half of them or more, is cut off")
print("Written:", save_figure(figure, "output/course/21_relu.png"))

# %% MNIST with each choice: five layers of ReLU, the same minibatches
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
losses = {}
for how in (0.01, "xavier", "he"):
    network = MultiLayerNet(784, [100] * 4, 10, weight_init_std=how, seed=0)
    trainer = Trainer(
        network, x_train, t_train, x_test, t_test, iterations=iterations, mini_batch_size=128,
        optimizer_param={"lr": 0.01}, evaluate_sample_num_per_epoch=1000, verbose=False, seed=0,
    )  # fmt: skip
    losses[names[how]] = trainer.train().loss
    mean, last, accuracy = np.mean(trainer.train_loss_list), trainer.train_loss_list[-100:], trainer.test_acc_list[-1]
    print(f"{names[how]}: mean loss {mean:.3f}, of the last 100 {np.mean(last):.3f}, test accuracy {accuracy:.3f}")
figure = plot_runs(losses, smooth=51, ylim=(0, 3), title="The same minibatches, three initializations")
print("Written:", save_figure(figure, "output/course/21_mnist.png"))
