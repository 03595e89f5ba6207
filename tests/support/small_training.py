"""A training small enough for tests: 25 images of noise, 12 pixels each, in 7 classes."""

import numpy as np

from xpnet import Trainer, TwoLayerNet

PIXELS = np.random.default_rng(0).integers(0, 256, (25, 12), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, 7, 25)


def make(network=None, x=PIXELS, t=LABELS, **options):
    options = {"mini_batch_size": 10, "verbose": False, "seed": 0} | options
    if isinstance(options.get("optimizer", ""), str):
        options.setdefault("optimizer_param", {"lr": 0.1})
    return Trainer(network or TwoLayerNet(12, 6, 7, seed=0), x, t, x[:5], t[:5], **options)
