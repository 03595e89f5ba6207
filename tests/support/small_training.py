"""A training small enough for tests: 25 images of noise, 12 pixels each, in 7 classes."""

import numpy as np
from case_table import numbers

from xpnet import Affine, Network, Relu, Trainer, TwoLayerNet, to_numpy

PIXELS = np.random.default_rng(0).integers(0, 256, (25, 12), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, 7, 25)


def make(network=None, x=PIXELS, t=LABELS, **options):
    options = {"mini_batch_size": 10, "verbose": False, "seed": 0} | options
    if isinstance(options.get("optimizer", ""), str):
        options.setdefault("optimizer_param", {"lr": 0.1})
    return Trainer(network or TwoLayerNet(12, 6, 7, seed=0), x, t, x[:5], t[:5], **options)


def batches(trainer):
    """The indices of the samples of each step that a trainer makes, recognized by their pixels."""
    seen, step = [], trainer.train_step
    index_of = {row.tobytes(): i for i, row in enumerate(PIXELS)}

    def watched(x, t):
        pixels = np.round(to_numpy(x) * 255).astype(np.uint8)
        seen.append([index_of[row.tobytes()] for row in pixels])
        assert to_numpy(t).tolist() == LABELS[seen[-1]].tolist()
        return step(x, t)

    trainer.train_step = watched
    trainer.train()
    return seen


# --- what is sampled ------------------------------------------------------------------------------------------------


def affine_net(last_layer, outputs, dtype="float64"):
    W, V = (0.3 * numbers(seed, *shape).astype(dtype) for seed, shape in ((1, (12, 6)), (2, (6, outputs))))
    return Network([Affine(W, np.zeros(6, dtype)), Relu(), Affine(V, np.zeros(outputs, dtype))], last_layer)
