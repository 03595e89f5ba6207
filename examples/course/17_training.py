"""TwoLayerNet trained on MNIST: 10,000 iterations, and the learning curves (course rows 17 and 18).

Minibatches of 100 are drawn at random with replacement, as the course draws them; 600 of them are called an epoch.
"""

import sys

from xpnet import Trainer, TwoLayerNet, load_mnist
from xpnet.plotting import save_figure

# A network that has learned nothing guesses, and how well is chance. With seed 9 it begins near the notes' 0.10.
seed = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 9

# %% Images stay bytes; the trainer makes numbers from 0 to 1 of them, a minibatch at a time
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10, seed=seed)
trainer = Trainer(
    network, x_train, t_train, x_test, t_test,
    iterations=10_000, mini_batch_size=100, optimizer="SGD", optimizer_param={"lr": 0.1},
    sampling="choice", seed=seed,
)  # fmt: skip

# %% A row an epoch: the loss of the last minibatch, the seconds gone, the steps made, both accuracies
history = trainer.train()

# %% The learning curves
figure = history.plot()
print("Written:", save_figure(figure, "output/course/17_learning_curves.png"))

# %% Kept for the program that predicts one image
network.save("output/course/two_layer_net.safetensors")
print("Written: output/course/two_layer_net.safetensors")
