"""Gradient check: backpropagation compared with the numerical gradient on three images (course row 16)."""

from xpnet import SoftmaxWithLoss, TwoLayerNet, asarray, check_gradient, cross_entropy_error, load_mnist

(x_train, t_train), _ = load_mnist(normalize=True, one_hot_label=True)
x_batch, t_batch = asarray(x_train[:3]), asarray(t_train[:3])

# %% The mean absolute difference for each parameter, in float64
network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10, seed=0, dtype="float64")
print("SoftmaxWithLoss, exact:")
for key, error in check_gradient(network, x_batch, t_batch).items():
    print(f"{key}: {error:.1e}")


# %% The same with the course's loss
class SoftmaxWithDelta(SoftmaxWithLoss):
    """The course's loss: the logarithm of y + 1e-7, while backward still returns (y - t) / N."""

    def forward(self, x, t):
        """The loss of probabilities with 1e-7 added."""
        super().forward(x, t)
        self.loss = cross_entropy_error(self.y, t)
        return self.loss


network.last_layer = SoftmaxWithDelta()
print("with 1e-7 in the logarithm, as in the course:")
for key, error in check_gradient(network, x_batch, t_batch).items():
    print(f"{key}: {error:.1e}")

# %% Why the second is a thousand times larger
print("(y - t) / N is the gradient of log(y); that of log(y + 1e-7) is smaller by y / (y + 1e-7). An untrained network")
print("stands at y = 0.1: one part in a million. The numerical gradient sees that, and backpropagation does not.")
print("Without the 1e-7 nothing is left but rounding, and the error of the central difference.")
