"""Inference with the book's trained weights: one image at a time, in batches, and all at once (course row 7).

The answers are the same. A batch is faster, because one large matrix product takes less time than many small ones.
"""

import timeit

import numpy as np
from tqdm.auto import tqdm

from xpnet import ThreeLayerNet, asarray, load_mnist, load_sample_weight, to_numpy
from xpnet.plotting import plot_confusion_grid, plot_images, save_figure


def get_data():
    """The test images as floats from 0 to 1, on the chosen backend, and their labels."""
    _, (x_test, t_test) = load_mnist(normalize=True, flatten=True, one_hot_label=False)
    return asarray(x_test), t_test


def init_network():
    """The three-layer network with the book's weights."""
    return ThreeLayerNet(784, 50, 100, 10).set_params(load_sample_weight())


def predict_one_by_one():
    """The predicted digit of each image, one image at a time."""
    images = tqdm(range(len(t)), desc="one by one", disable=None, leave=False)
    return np.array([to_numpy(network.predict(x[i, ...])).argmax() for i in images])


def predict_in_batches(size):
    """The same for `size` images at a time."""
    starts = range(0, len(t), size)
    return np.concatenate(
        [to_numpy(network.predict(x[i : i + size, ...], batch_size=size)).argmax(axis=1) for i in starts]
    )


def timed(name, predict, *arguments):
    """Run a function, print its accuracy and time (the best of three, after an untimed run), and return both."""
    digits = predict(*arguments)
    seconds = min(timeit.repeat(lambda: predict(*arguments), number=1, repeat=3))
    print(f"{name:>16}: accuracy {np.mean(digits == t):.4f}, {seconds:.3f} s")
    return digits, seconds


# %% The same 10,000 images in three ways
x, t = get_data()
network = init_network()
print(network)
_, slow = timed("one at a time", predict_one_by_one)
_, fast = timed("batches of 100", predict_in_batches, 100)
digits, _ = timed("all at once", predict_in_batches, len(t))
print(f"batches of 100 are {slow / fast:.0f} times as fast as one image at a time, with {network.backend.describe()}")

# %% Correct predictions, and one example of every kind of error
images, right = to_numpy(x), np.flatnonzero(digits == t)[:20]
figure = plot_images(images[right], digits[right], title="Twenty test images that are classified correctly")
print("Written:", save_figure(figure, "output/course/07_right.png"))
title = f"Of {len(t):,} test images, {np.sum(digits != t):,} are misclassified"
figure = plot_confusion_grid(images, t, digits, title=title)
print("Written:", save_figure(figure, "output/course/07_confusions.png"))
