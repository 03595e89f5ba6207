"""The layers, one family a file. Each has ``forward`` and ``backward`` and holds its mathematics, nothing else."""

from xpnet.layers.activations import ReLU, Relu, Sigmoid
from xpnet.layers.affine import Affine
from xpnet.layers.arithmetic import AddLayer, ExpLayer, MulLayer, ReciprocalLayer, SquareLayer
from xpnet.layers.base import Layer
from xpnet.layers.losses import IdentityWithLoss, LossLayer, SoftmaxWithLoss

__all__ = [
    "AddLayer",
    "Affine",
    "ExpLayer",
    "IdentityWithLoss",
    "Layer",
    "LossLayer",
    "MulLayer",
    "ReLU",
    "ReciprocalLayer",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "SquareLayer",
]
