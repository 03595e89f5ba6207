"""A convolutional network on MNIST: its filters, its activations, and its errors (course row 20).

Pass a whole number after the program's name to make that many iterations instead of 1,800 (three epochs).
"""

import sys

import numpy as np

from xpnet import SimpleConvNet, Trainer, load_mnist, to_numpy
from xpnet.plotting import plot_activations, plot_filters, plot_misclassified, save_figure

iterations = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 1_800

# %% Images keep their shape, (N, 1, 28, 28): a convolution needs neighboring pixels
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False, flatten=False)
network = SimpleConvNet(seed=0)
print(network.summary())
before = network.state.weights()["W1"]  # a copy; training changes the network's filters in place

# %% Train with Adam; one row per epoch, with the accuracies of the first thousand images of each set
trainer = Trainer(
    network, x_train, t_train, x_test, t_test, iterations=iterations, mini_batch_size=100,
    optimizer="Adam", optimizer_param={"lr": 0.001}, evaluate_sample_num_per_epoch=1000, seed=0,
)  # fmt: skip
history = trainer.train()
wrong = round((1 - network.accuracy(trainer.x_test, trainer.t_test)) * len(t_test))
print(f"test accuracy {1 - wrong / len(t_test):.4f}: {wrong:,} of {len(t_test):,} images are misclassified")
print("Written:", save_figure(history.plot(), "output/course/25_learning_curves.png"))


# %% The filters: noise before training; edges and blobs after it
def correlation(filters):
    """The correlation of each weight with the one to its right."""
    filters = to_numpy(filters)
    return np.corrcoef(filters[..., :-1].ravel(), filters[..., 1:].ravel())[0, 1]


after = network.params["W1"]
print(f"correlation of neighboring weights: {correlation(before):.2f} before, {correlation(after):.2f} after")
figure = plot_filters(before, after, title="The thirty filters of 5 x 5")
print("Written:", save_figure(figure, "output/course/25_filters.png"))

# %% The first test image after each layer: maps, then a row of numbers, then ten probabilities
figure = plot_activations(network, trainer.x_test[:1, ...], label=int(t_test[0]), title="x_test[0], layer by layer")
print("Written:", save_figure(figure, "output/course/25_activations.png"))

# %% The misclassified images, with the predictions
figure = plot_misclassified(network, trainer.x_test, trainer.t_test, title="What SimpleConvNet gets wrong")
print("Written:", save_figure(figure, "output/course/25_misclassified.png"))
