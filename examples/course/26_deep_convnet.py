"""The book's deep convolutional network on MNIST: trained, or with the book's own parameters (course row 20).

Pass a whole number after the program's name to make that many iterations instead of 1,800 (three epochs). The book
makes 12,000 (twenty epochs), which takes most of an hour on two cores.

Pass the name of a file to use its parameters instead of training, such as deep_convnet_params.pkl from the book's
repository. There have been two files of that name: of the 10,000 test images, the one of 2016 classifies 9,935
correctly, the one of 2022 9,797.
"""

import sys

from xpnet import DeepConvNet, Trainer, load_mnist, load_weights
from xpnet.plotting import plot_misclassified, save_figure

argument = sys.argv[1] if sys.argv[1:] and not sys.argv[1].startswith("-") else "1800"

# %% Six convolutions in pairs, pooling after each pair, two affine layers, dropout after both
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False, flatten=False)
network = DeepConvNet(seed=0)
print(network.summary())
count = network.state.parameter_count
print(f"{len(network.layers)} layers, and fewer parameters than one wide affine layer: {count:,}")

# %% Train with Adam, or read a file. The loss stays near 1: dropout drops half of the scores in training
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
    network.set_params(load_weights(argument))  # a pickle; only its arrays are read, and nothing is run
    print(f"The parameters are those of {argument}.")

# %% All ten thousand test images
right = round(network.accuracy(trainer.x_test, trainer.t_test) * len(t_test))
print(f"test accuracy {right / len(t_test):.4f}: {right:,} of {len(t_test):,} images are classified correctly")

# %% The misclassified images; many are hard for people as well
figure = plot_misclassified(network, trainer.x_test, trainer.t_test, title="What DeepConvNet gets wrong")
print("Written:", save_figure(figure, "output/course/26_misclassified.png"))
