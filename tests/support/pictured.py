"""What the pictures of networks are tested on: small networks, and the images that a figure shows."""

import numpy as np

from xpnet import Affine, Convolution, Network
from xpnet.layers import LossLayer


def pictures(figure_or_axes):
    """What is shown, axes by axes; color bars are no images."""
    axes = getattr(figure_or_axes, "axes", figure_or_axes)
    return [a.get_images()[0] for a in axes if a.get_images()]


def smallest_network(input_shape=(1, 8, 8)):
    """What is quickly drawn."""
    options = {"rng": np.random.default_rng(0)}
    return Network([Convolution.create(1, 1, 3, **options), Affine.create(36, 10, **options)], input_shape=input_shape)


class Hinge(LossLayer):
    """Of scores that are no probabilities."""

    classifies = True

    def check_targets(self, t, scores_shape):
        return t
