"""TwoLayerNet trained on MNIST: 10,000 iterations, and the learning curves (course rows 17 and 18).

Minibatches of 100 are drawn at random with replacement, as in the course; 600 of them are called an epoch.
"""

import sys

from xpnet import Trainer, TwoLayerNet, load_mnist
from xpnet.plotting import save_figure

# An untrained network guesses, and its accuracy depends on the seed. With seed 9 it starts near the notes' 0.10.
seed = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 9

# %% Images stay bytes; the trainer turns them into numbers from 0 to 1, one minibatch at a time
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10, seed=seed)
trainer = Trainer(
    network, x_train, t_train, x_test, t_test,
    iterations=10_000, mini_batch_size=100, optimizer="SGD", optimizer_param={"lr": 0.1},
    sampling="choice", seed=seed,
)  # fmt: skip

# %% One row per epoch: the loss of the last minibatch, the elapsed seconds, the steps, both accuracies
history = trainer.train()

# %% The learning curves
figure = history.plot()
print("Written:", save_figure(figure, "output/course/17_learning_curves.png"))

# %% Save the weights for 19_prediction.py
network.save("output/course/two_layer_net.safetensors")
print("Written: output/course/two_layer_net.safetensors")
