"""A random search that takes no time."""

import math

from xpnet.search import LogUniform, random_search
from xpnet.training.history import History

SPACE = {"lr": LogUniform(1e-6, 1e-2), "weight_decay": LogUniform(1e-8, 1e-4)}


def search(train, space=SPACE, trials=10, seed=0, **options):
    return random_search(train, space, trials, seed, **({"verbose": False} | options))


def near(lr, weight_decay):
    """The best at lr = 0.001."""
    return 1 - abs(math.log10(lr) + 3) / 10


def history(*val_acc, **options):
    return History(
        evaluated_at=[4 * i for i in range(len(val_acc))], iterations_per_epoch=4, val_acc=[*val_acc], **options
    )
