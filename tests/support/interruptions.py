"""Interrupt a training at a chosen line of the library, and compare all that a training changes."""

import signal
import sys
from pathlib import Path

import numpy as np
from small_training import LABELS, PIXELS

import xpnet
from xpnet import Augmentation, CosineDecay, MultiLayerNet, Trainer, to_numpy

LIBRARY = str(Path(xpnet.__file__).parent)
RATES = {"SGD": 0.1, "Momentum": 0.05, "Nesterov": 0.05, "AdaGrad": 0.05, "RMSprop": 0.01, "Adam": 0.01, "AdamW": 0.01}


def everything(optimizer="Adam", **options):
    """A training of three and a half epochs with all that keeps something from step to step; 16 pixels an image."""
    network = MultiLayerNet(16, [6], 7, use_batchnorm=True, use_dropout=True, weight_decay_lambda=0.01, seed=0)
    x = np.resize(PIXELS, (25, 16))
    rate = {"lr": CosineDecay(RATES[optimizer], steps=12, warm_up=2)}
    options = {"iterations": 7, "mini_batch_size": 10, "verbose": False, "seed": 0, "validation": 0.2} | options
    options.setdefault("augmentation", Augmentation(1, 10, 0.1, flip=True, seed=1))
    return Trainer(network, x, LABELS, x[:5], LABELS[:5], optimizer=optimizer, optimizer_param=rate, **options)


def state(trainer):
    """All that a training changes, to the bit, by name."""
    history, optimizer = trainer.history, trainer.optimizer
    arrays = {key: to_numpy(value) for key, value in trainer.network.state.weights().items()}
    for slot in optimizer.slots:
        arrays |= {f"{slot} {key}": to_numpy(value) for key, value in getattr(optimizer, slot).items()}
    for name, layer in trainer.network.layers.items():
        arrays |= {f"{counter} {name}": to_numpy(getattr(layer, counter)) for counter in layer.counter_names}
    if isinstance(trainer.augmentation, Augmentation):
        arrays["augmentation"] = to_numpy(trainer.augmentation.key)
    for name in ("loss", "evaluated_at", "train_acc", "test_acc", "val_acc", "val_loss"):
        arrays[name] = np.array(getattr(history, name))
    values = {name: array.tobytes() for name, array in arrays.items()}
    return values | {
        "iter": optimizer.iter,
        "order": trainer.runner._rng.bit_generator.state,
        "rest": trainer.runner.order.tolist(),
    }


def differences(a, b):
    """The names of what differs."""
    return [name for name in a | b if a.get(name) != b.get(name)]


def assert_consistent(trainer):
    """The record and the counters are those of one step, and the lists have one length."""
    history = trainer.history
    assert len(history.loss) == trainer.optimizer.iter
    lists = history.elapsed_seconds, history.train_acc, history.test_acc, history.val_acc, history.val_loss
    assert {len(values) for values in lists} == {len(history.evaluated_at)}


def lines(run, act=lambda: None, at=-1, only=""):
    """Call `run`, and `act` before the line number `at` of the library that it executes; returns how many there were.

    Only lines of files whose path holds `only` count.
    """
    count = 0

    def trace(frame, event, _):
        nonlocal count
        path = frame.f_code.co_filename
        if not path.startswith(LIBRARY) or only not in path or path.endswith("interrupts.py"):
            return trace if event == "call" and path.startswith(LIBRARY) else None
        if event == "line":
            if count == at:
                count += 1
                act()
                return trace
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


def press():
    """Press Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def press_twice():
    """Press Ctrl-C, and again before anything has happened."""
    press()
    press()


def raise_interrupt():
    """What a handler of the user's own may do at any moment."""
    raise KeyboardInterrupt
