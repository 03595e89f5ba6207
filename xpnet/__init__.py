"""xpnet: neural networks written once, in readable array code, run on NumPy and on CuPy."""

from xpnet.backend import (
    Backend,
    asarray,
    get_array_module,
    get_backend,
    set_backend,
    synchronize,
    to_numpy,
    use_backend,
)
from xpnet.datasets import load_digits, load_mnist
from xpnet.errors import XpnetError
from xpnet.functions import (
    cross_entropy_error,
    identity_function,
    mean_squared_error,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    step_function,
)
from xpnet.gradient import check_gradient, gradient_descent, numerical_gradient
from xpnet.graph import Graph
from xpnet.history import History
from xpnet.layers import (
    AddLayer,
    Affine,
    ExpLayer,
    IdentityWithLoss,
    Layer,
    LossLayer,
    MulLayer,
    ReciprocalLayer,
    ReLU,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    SquareLayer,
)
from xpnet.models import SimpleNetwork, ThreeLayerNet, TwoLayerNet
from xpnet.network import Network
from xpnet.network_graph import network_graph
from xpnet.optimizers import SGD
from xpnet.params import Params
from xpnet.perceptron import AND, NAND, OR, XOR
from xpnet.sample_weight import load_sample_weight
from xpnet.trainer import Trainer

__version__ = "0.1.0"

__all__ = [
    "AND",
    "NAND",
    "OR",
    "SGD",
    "XOR",
    "AddLayer",
    "Affine",
    "Backend",
    "ExpLayer",
    "Graph",
    "History",
    "IdentityWithLoss",
    "Layer",
    "LossLayer",
    "MulLayer",
    "Network",
    "Params",
    "ReLU",
    "ReciprocalLayer",
    "Relu",
    "Sigmoid",
    "SimpleNetwork",
    "SoftmaxWithLoss",
    "SquareLayer",
    "ThreeLayerNet",
    "Trainer",
    "TwoLayerNet",
    "XpnetError",
    "asarray",
    "check_gradient",
    "cross_entropy_error",
    "get_array_module",
    "get_backend",
    "gradient_descent",
    "identity_function",
    "load_digits",
    "load_mnist",
    "load_sample_weight",
    "mean_squared_error",
    "network_graph",
    "numerical_gradient",
    "relu",
    "relu_grad",
    "set_backend",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "step_function",
    "synchronize",
    "to_numpy",
    "use_backend",
]
