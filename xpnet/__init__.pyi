"""The public names of xpnet, and where each comes from; loaded when it is first used."""

from .backend import (
    Backend,
    asarray,
    get_array_module,
    get_backend,
    set_backend,
    synchronize,
    to_numpy,
    use_backend,
)
from .datasets import (
    load_digits,
    load_mnist,
)
from .errors import (
    XpnetError,
)
from .functions import (
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
from .gradient import (
    check_gradient,
    gradient_descent,
    numerical_gradient,
)
from .graph import (
    Graph,
)
from .history import (
    History,
)
from .layer_maker import (
    LayerMaker,
)
from .layers import (
    AddLayer,
    Affine,
    BatchNormalization,
    Dropout,
    ExpLayer,
    Gelu,
    IdentityWithLoss,
    Layer,
    LayerNormalization,
    LeakyRelu,
    LossLayer,
    MulLayer,
    ReciprocalLayer,
    ReLU,
    Relu,
    Sigmoid,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    SquareLayer,
    Tanh,
)
from .models import (
    MultiLayerNet,
    SimpleNetwork,
    ThreeLayerNet,
    TwoLayerNet,
)
from .network import (
    Network,
)
from .network_graph import (
    network_graph,
)
from .optimizers import (
    SGD,
)
from .params import (
    Params,
)
from .perceptron import (
    AND,
    NAND,
    OR,
    XOR,
)
from .sample_weight import (
    load_sample_weight,
)
from .trainer import (
    Trainer,
)

__version__: str

__all__ = [
    "AND",
    "NAND",
    "OR",
    "SGD",
    "XOR",
    "AddLayer",
    "Affine",
    "Backend",
    "BatchNormalization",
    "Dropout",
    "ExpLayer",
    "Gelu",
    "Graph",
    "History",
    "IdentityWithLoss",
    "Layer",
    "LayerMaker",
    "LayerNormalization",
    "LeakyRelu",
    "LossLayer",
    "MulLayer",
    "MultiLayerNet",
    "Network",
    "Params",
    "ReLU",
    "ReciprocalLayer",
    "Relu",
    "Sigmoid",
    "SigmoidWithLoss",
    "SimpleNetwork",
    "SoftmaxWithLoss",
    "SquareLayer",
    "Tanh",
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
