"""Layers, one family in each file: the mathematics of ``forward`` and ``backward``."""

from xpnet.layers.activations import Gelu, LeakyRelu, ReLU, Relu, Sigmoid, Tanh
from xpnet.layers.affine import Affine
from xpnet.layers.base import Layer
from xpnet.layers.convolution import Convolution
from xpnet.layers.dropout import Dropout
from xpnet.layers.losses import IdentityWithLoss, LossLayer, SigmoidWithLoss, SoftmaxWithLoss
from xpnet.layers.normalization import BatchNormalization, LayerNormalization
from xpnet.layers.pooling import AveragePooling, GlobalAveragePooling, MaxPooling, Pooling
from xpnet.layers.structure import Flatten, Residual

__all__ = [
    "Affine", "AveragePooling", "BatchNormalization", "Convolution", "Dropout", "Flatten", "Gelu",
    "GlobalAveragePooling", "IdentityWithLoss", "Layer", "LayerNormalization", "LeakyRelu", "LossLayer", "MaxPooling",
    "Pooling", "ReLU", "Relu", "Residual", "Sigmoid", "SigmoidWithLoss", "SoftmaxWithLoss", "Tanh",
]  # fmt: skip
