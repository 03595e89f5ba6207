"""Every fused operation under the name of its kernel; the optimizers' as they make them."""

from xpnet import SGD, Adam
from xpnet.engine import kernels
from xpnet.engine.kernels.operation import FusedOperation
from xpnet.layers.fused import bias_relu, mean, relu_gradient, softmax_cross_entropy
from xpnet.training.step import gather

__all__ = [
    "adam_update",
    "bias_relu",
    "gather",
    "launch",
    "mean",
    "relu_gradient",
    "sgd_update",
    "softmax_cross_entropy",
]

sgd_update = FusedOperation(SGD().update_one, kernels.sgd_update)
adam_update = FusedOperation(Adam(beta1=0.9, beta2=0.99).update_one, kernels.adam_update, beta1=0.9, beta2=0.99)


def launch(operation, *args):
    """The kernel alone, whatever the arguments are."""
    return operation.cuda(*args, **operation.constants)
