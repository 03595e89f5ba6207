"""Transfer learning: from the digits 0 to 4 to the digits 5 to 9, with fifty images of each (course row 20).

A network learns 0 to 4. Its convolutions are kept and frozen, and a new head on top of them learns 5 to 9. For
comparison, the same network learns 5 to 9 from scratch: its steps take longer and it starts later, but in the end its
accuracy is as good or better. The settings were chosen with training images that are not among these 250.

Optional arguments: the iterations for 0 to 4 (default 600), and the seed (default 0) of images, weights and order.
"""

import sys

import numpy as np

from xpnet import Affine, Augmentation, CosineDecay, DeepConvNet, Dropout, Relu, Trainer, load_mnist, with_new_head
from xpnet.plotting import plot_runs, save_figure

numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
iterations, seed = (numbers + [600, 0][len(numbers) :])[:2]

# %% Thirty thousand images of 0 to 4, and fifty of each of 5 to 9, relabeled 0 to 4
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False, flatten=False)
low, others = t_train < 5, np.random.default_rng(seed).permutation(np.flatnonzero(t_train >= 5))
few = np.concatenate([others[t_train[others] == digit][:50] for digit in range(5, 10)])
x_few, t_few = x_train[few], t_train[few] - 5
x_test, t_test = x_test[t_test >= 5], t_test[t_test >= 5] - 5
print(f"{low.sum():,} images of 0 to 4; of 5 to 9, {len(few)} for training and {len(t_test):,} for testing")

# %% The book's deep network with half of its filters learns 0 to 4
sizes = ((8, 1), (8, 1), (16, 1), (16, 2), (32, 1), (32, 1))
conv_params = [{"filter_num": number, "filter_size": 3, "pad": pad, "stride": 1} for number, pad in sizes]
trained, untrained = (DeepConvNet(conv_params=conv_params, output_size=5, seed=seed + i) for i in (0, 1000))
Trainer(
    trained, x_train[low], t_train[low], None, None, iterations=iterations, mini_batch_size=100,
    optimizer="Adam", evaluate_sample_num_per_epoch=1000, seed=seed,
).train()  # fmt: skip


# %% A head on the convolutions: frozen ones from the first network, or new ones that are trained as well
def with_head(network):
    """The network up to its last pooling, with a new head; both heads start with the same weights."""
    rng, _, noise = np.random.default_rng(seed).spawn(3)
    first, last = Affine.create(32 * 4 * 4, 200, "he", rng=rng), Affine.create(200, 5, "he", rng=rng)
    return with_new_head(network, [first, Relu(), Dropout(0.5, seed=noise), last], keep="MaxPooling3")


curves, falling = {}, CosineDecay(0.003, steps=200)  # forty epochs of five steps
for images in ("as they are", "augmented"):
    for how, network in (("transfer", with_head(trained)), ("from nothing", with_head(untrained).unfreeze())):
        trainer = Trainer(
            network, x_few, t_few, x_test, t_test, epochs=40, mini_batch_size=50, optimizer="Adam",
            augmentation=Augmentation(shift=2, rotate=10, seed=seed) if images == "augmented" else None,
            optimizer_param={"lr": falling}, evaluate_sample_num_per_epoch=500, verbose=False, seed=seed,
        )  # fmt: skip
        history = trainer.train()
        curves[f"{how}, {images}"] = history.test_acc
        accuracy = network.accuracy(trainer.x_test, trainer.t_test)
        milliseconds = 5 * history.training_seconds  # of 200 steps
        early = f"{history.test_acc[5]:.3f} after five epochs (500 images)"
        print(f"{network}\n{how}, {images}: test accuracy {accuracy:.4f}, {early}; a step took {milliseconds:.1f} ms")

# %% By epoch
dashed = [name for name in curves if name.startswith("from nothing")]
title = "250 images of 5 to 9: accuracy on 500 test images"
figure = plot_runs(curves, quantity="accuracy", dashed=dashed, ylim=(0.5, 1), title=title)
print("Written:", save_figure(figure, "output/course/28_transfer.png"))
