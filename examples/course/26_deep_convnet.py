"""The book's deep convolutional network on MNIST: trained, or with the book's own parameters (course row 20).

A whole number after the program's name is how many iterations to make, in place of 1,800, which are three epochs. The
book makes 12,000, twenty epochs: most of an hour on two cores.

The name of a file gives parameters in place of training, such as deep_convnet_params.pkl of the book's repository. Two
have had that name: of the 10,000 test images that of 2016 gets 9,935 right, that of 2022 gets 9,797.
"""

import sys

from xpnet import DeepConvNet, Trainer, load_mnist, load_weights
from xpnet.plotting import plot_misclassified, save_figure

argument = sys.argv[1] if sys.argv[1:] and not sys.argv[1].startswith("-") else "1800"

# %% Six convolutions in pairs, pooling after each pair, two affine layers, dropout after both
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False, flatten=False)
network = DeepConvNet(seed=0)
print(network.summary())
print(f"{len(network.layers)} layers, and fewer parameters than one wide affine layer: {network.parameter_count:,}")

# %% Trained by Adam, or read from a file. The loss stays near 1: in training half of the scores are dropped
trainer = Trainer(
    network, x_train, t_train, x_test, t_test, iterations=int(argument) if argument.isdigit() else 1,
    mini_batch_size=100, optimizer="Adam", optimizer_param={"lr": 0.001}, evaluate_sample_num_per_epoch=1000, seed=0,
)  # fmt: skip
if argument.isdigit():
    history = trainer.train()
    figure = history.plot()
    figure.suptitle("DeepConvNet on MNIST")
    print("Written:", save_figure(figure, "output/course/26_learning_curves.png"))
else:
    network.set_params(load_weights(argument))  # a pickle, of which arrays are read and nothing is run
    print(f"The parameters are those of {argument}.")

# %% All ten thousand test images
right = round(network.accuracy(trainer.x_test, trainer.t_test) * len(t_test))
print(f"test accuracy {right / len(t_test):.4f}: {right:,} of {len(t_test):,} images are read rightly")

# %% The rest: with the book's parameters many of these are hard for us as well
figure = plot_misclassified(network, trainer.x_test, trainer.t_test, title="What DeepConvNet gets wrong")
print("Written:", save_figure(figure, "output/course/26_misclassified.png"))
