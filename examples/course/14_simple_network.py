"""SimpleNetwork: a network without backpropagation, trained by numerical gradient on MNIST (course row 14).

A step computes the loss twice for each of 39,760 parameters. That takes seconds, so the program makes three steps.
Pass a whole number after the program's name to have that many hidden units instead of 50.
"""

import sys
import time

import numpy as np

from xpnet import SimpleNetwork, asarray, load_mnist

STEPS, BATCH_SIZE, LEARNING_RATE = 3, 100, 1.0
hidden_size = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 50

(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
# With the usual weights, 0.01 * randn, three steps would not show any progress.
network = SimpleNetwork(input_size=784, hidden_size=hidden_size, output_size=10, weight_init_std=0.3, seed=0)
print(network)

# %% Train it; one row per step: the loss before the step, the elapsed seconds, the step, the accuracies after it
rng = np.random.default_rng(0)
train, test = (asarray(x_train), asarray(t_train)), (asarray(x_test), asarray(t_test))
print("  loss     time      n  [TrainAcc] [TestAcc]")
begun = time.perf_counter()
for n in range(1, STEPS + 1):
    chosen = rng.choice(len(x_train), BATCH_SIZE)
    x, t = asarray(x_train[chosen]), asarray(t_train[chosen])
    loss = float(network.loss(x, t))
    grads = network.numerical_gradient(x, t)
    for key in network.params:
        network.params[key] -= LEARNING_RATE * grads[key]
    seconds = time.perf_counter() - begun
    print(f"{loss:.4f} {seconds:8.4f} {n:06d} {network.accuracy(*train):.4f} {network.accuracy(*test):.4f}")
print(f"{seconds / STEPS:.1f} s a step, with {network.backend.describe()}")
