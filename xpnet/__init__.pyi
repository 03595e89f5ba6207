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
from .data.array_files import (
    load_weights,
)
from .data.augmentation import (
    Augmentation,
)
from .data.book_weights import (
    load_sample_weight,
)
from .data.idx import (
    load_idx,
    read_idx,
)
from .data.image_folder import (
    ImageFolder,
    load_image_folder,
)
from .data.mnist import (
    load_digits,
    load_mnist,
)
from .errors import (
    XpnetError,
)
from .functions import (
    AND,
    NAND,
    OR,
    XOR,
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
from .graph.graph import (
    Graph,
)
from .graph.network_graph import (
    network_graph,
)
from .graph.nodes import (
    AddLayer,
    ExpLayer,
    MulLayer,
    ReciprocalLayer,
    SquareLayer,
)
from .layers import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Gelu,
    GlobalAveragePooling,
    IdentityWithLoss,
    Layer,
    LayerNormalization,
    LeakyRelu,
    LossLayer,
    MaxPooling,
    Pooling,
    ReLU,
    Relu,
    Residual,
    Sigmoid,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Tanh,
)
from .networks.convolutional import (
    DeepConvNet,
    ResNet,
    SimpleConvNet,
)
from .networks.dense import (
    MultiLayerNet,
    SimpleNetwork,
    ThreeLayerNet,
    TwoLayerNet,
)
from .networks.network import (
    Network,
)
from .networks.params import (
    Params,
)
from .networks.transfer import (
    with_new_head,
)
from .optimizers import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    Optimizer,
    RMSprop,
)
from .optimizers.schedules import (
    CosineDecay,
    StepDecay,
)
from .search import (
    Choice,
    LogUniform,
    SearchResult,
    Trial,
    Uniform,
    random_search,
)
from .training.callbacks import (
    BestModel,
    EarlyStopping,
)
from .training.data_sets import (
    split_validation,
)
from .training.history import (
    History,
)
from .training.trainer import (
    Trainer,
)

__version__: str

__all__ = [
    "AND",
    "NAND",
    "OR",
    "SGD",
    "XOR",
    "AdaGrad",
    "Adam",
    "AdamW",
    "AddLayer",
    "Affine",
    "Augmentation",
    "AveragePooling",
    "Backend",
    "BatchNormalization",
    "BestModel",
    "Choice",
    "Convolution",
    "CosineDecay",
    "DeepConvNet",
    "Dropout",
    "EarlyStopping",
    "ExpLayer",
    "Flatten",
    "Gelu",
    "GlobalAveragePooling",
    "Graph",
    "History",
    "IdentityWithLoss",
    "ImageFolder",
    "Layer",
    "LayerNormalization",
    "LeakyRelu",
    "LogUniform",
    "LossLayer",
    "MaxPooling",
    "Momentum",
    "MulLayer",
    "MultiLayerNet",
    "Nesterov",
    "Network",
    "Optimizer",
    "Params",
    "Pooling",
    "RMSprop",
    "ReLU",
    "ReciprocalLayer",
    "Relu",
    "ResNet",
    "Residual",
    "SearchResult",
    "Sigmoid",
    "SigmoidWithLoss",
    "SimpleConvNet",
    "SimpleNetwork",
    "SoftmaxWithLoss",
    "SquareLayer",
    "StepDecay",
    "Tanh",
    "ThreeLayerNet",
    "Trainer",
    "Trial",
    "TwoLayerNet",
    "Uniform",
    "XpnetError",
    "asarray",
    "check_gradient",
    "cross_entropy_error",
    "get_array_module",
    "get_backend",
    "gradient_descent",
    "identity_function",
    "load_digits",
    "load_idx",
    "load_image_folder",
    "load_mnist",
    "load_sample_weight",
    "load_weights",
    "mean_squared_error",
    "network_graph",
    "numerical_gradient",
    "random_search",
    "read_idx",
    "relu",
    "relu_grad",
    "set_backend",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "split_validation",
    "step_function",
    "synchronize",
    "to_numpy",
    "use_backend",
    "with_new_head",
]
