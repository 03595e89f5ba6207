"""The layers, one family a file. Each has ``forward`` and ``backward`` and holds its mathematics, nothing else."""

from xpnet.layers.activations import Gelu, LeakyRelu, ReLU, Relu, Sigmoid, Tanh
from xpnet.layers.affine import Affine
from xpnet.layers.arithmetic import AddLayer, ExpLayer, MulLayer, ReciprocalLayer, SquareLayer
from xpnet.layers.base import Layer
from xpnet.layers.losses import IdentityWithLoss, LossLayer, SigmoidWithLoss, SoftmaxWithLoss
from xpnet.layers.normalization import BatchNormalization, LayerNormalization
from xpnet.layers.regularization import Dropout

__all__ = [
    "AddLayer",
    "Affine",
    "BatchNormalization",
    "Dropout",
    "ExpLayer",
    "Gelu",
    "IdentityWithLoss",
    "Layer",
    "LayerNormalization",
    "LeakyRelu",
    "LossLayer",
    "MulLayer",
    "ReLU",
    "ReciprocalLayer",
    "Relu",
    "Sigmoid",
    "SigmoidWithLoss",
    "SoftmaxWithLoss",
    "SquareLayer",
    "Tanh",
]
