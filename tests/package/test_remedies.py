"""Each message that advises code: the code, copied from the message and executed, makes what failed work."""

import importlib.util
import itertools
import os
import pickle
import re
import shutil
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from remedies import Names, codes, gives_advice, said, texts

import xpnet
from xpnet import (
    Adam,
    Affine,
    Augmentation,
    BatchNormalization,
    BestModel,
    Callback,
    Convolution,
    EarlyStopping,
    Graph,
    IdentityWithLoss,
    Layer,
    MulLayer,
    Network,
    Relu,
    Residual,
    Sigmoid,
    SigmoidWithLoss,
    SimpleConvNet,
    Trainer,
    TwoLayerNet,
    asarray,
    get_backend,
    load_idx,
    load_mnist,
    load_sample_weight,
    load_weights,
    numerical_gradient,
    random_search,
    with_new_head,
)
from xpnet import plotting as drawing

X = np.random.default_rng(0).random((6, 4), dtype=np.float32)
T = np.array([0, 1, 2, 0, 1, 2])
AMOUNTS = np.random.default_rng(1).random((6, 3), dtype=np.float32)
IMAGES = np.random.default_rng(2).random((6, 1, 12, 12), dtype=np.float32)


def affine(n_in, n_out):
    return Affine.create(n_in, n_out, rng=0, backend="numpy")


def net(last_layer=None, outputs=3, **options):
    return Network([affine(4, 5), Relu(), affine(5, outputs)], last_layer, **options)


def trainer(network=None, x=X, t=T, *test, **options):
    return Trainer(
        network or net(),
        x,
        t,
        *(test or (None, None)),
        **({"mini_batch_size": 3, "epochs": 2, "verbose": False} | options),
    )


def train(*given, **options):
    return trainer(*given, **options).train()


def of_class(base, **attributes):
    """An object of a class of the user's own."""
    return type("Mine", (base,), attributes)()


def with_nan(array):
    array = array.copy()
    array[1] = np.nan
    return array


class Plain(Relu):
    """A layer that does not say whether it can be recorded."""

    def forward(self, x):
        return super().forward(x)


class Sized(Plain):
    """A layer with an argument that is given by name."""

    def __init__(self, *, size):
        super().__init__()
        self.size = size


def masked_layer(code="x + x[x > 0].sum()"):
    """A layer with a mask, in a network that is to be recorded."""

    def forward(self, x):
        names = {"xp": np if isinstance(x, np.ndarray) else xpnet.get_array_module(x), "x": x}
        return eval(code, names | {"mask": x > 0, "a": x, "b": 0 * x})

    layer = of_class(Layer, recordable=True, forward=forward, backward=lambda self, dout: dout)
    return Network([affine(4, 3), layer])


def idx_files(folder, labels=(0, 1, 2), prefix="", dtype="u1"):
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        images = np.arange(48, dtype=dtype).reshape(3, 4, 4)
        for name, array in (("images-idx3", images), ("labels-idx1", np.array(labels, "u1"))):
            code = {"u1": 8, "f4": 13}[array.dtype.str[1:]]
            head = struct.pack(f">2x2B{array.ndim}I", code, array.ndim, *array.shape)
            (folder / f"{prefix}{part}-{name}-ubyte").write_bytes(
                head + array.astype(f">{array.dtype.str[1:]}").tobytes()
            )
    return folder


def step_that_returns(give):
    """An optimizer whose `step` ends with a line of code."""

    def update_one(self, W, dW, v, rate):
        return eval(give, {"W": W - rate * dW, "v": v})

    return of_class(xpnet.Optimizer, slots=("v",), update_one=update_one)


def batch_normalized():
    return Network([affine(4, 3), BatchNormalization(np.ones(3, "f4"), np.zeros(3, "f4"))])


def larger():
    """A training set of 60 samples."""
    return np.tile(X, (10, 1)), np.tile(T, 10)


def recordable(declared=True, forward=None):
    """A network with a layer of the user's own."""
    attributes = {"recordable": True} if declared else {}
    return Network(
        [affine(4, 3), of_class(Relu, forward=forward or (lambda self, x: Relu.forward(self, x)), **attributes)]
    )


def quiet(call):
    """The result of a call that neither warns nor logs."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


def without_memory(*, in_training):
    """A network that finds no memory, in training or else in predictions."""

    def forward(self, x):
        if self.train == in_training:
            raise MemoryError("3 bytes are left")
        return Relu.forward(self, x)

    return Network([affine(4, 3), of_class(Relu, forward=forward)])


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def without_cupy():
    if importlib.util.find_spec("cupy") is not None:
        pytest.skip("CuPy is installed")
    xpnet._core.cupy.cupy_namespace.cache_clear()  # which may hold another test's stand-in


def text(name):
    Path(name).write_text("some words, and no weights")
    return name


def pickled(name):
    """A file of weights as the book has them."""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(pickle.dumps({"W1": np.ones((4, 3), "f4"), "b1": np.ones(3, "f4")}, 4))
    return Path(name)


def label_columns(folder):
    """Files of a set whose labels have a second column."""
    idx_files(folder)
    for part in ("train", "t10k"):
        content = struct.pack(">2x2B2I", 8, 2, 3, 2) + bytes((0, 9, 1, 9, 2, 9))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(content)
    return folder


def search(train=lambda **params: 1.0, space=None):
    """A search in which each trial ends well."""
    space = {"lr": xpnet.search.LogUniform(0.1, 1)} if space is None else space
    result = random_search(train, space, trials=2, seed=0, verbose=False)
    assert not any(trial.error for trial in result.trials)
    return result


def a_graph():
    graph = Graph()
    graph.apply(MulLayer(), graph.variable("x", 2.0), 3.0)
    return graph


def back_through(backward):
    """The gradients of a layer with two inputs whose `backward` is this."""
    graph = Graph()
    layer = of_class(Layer, forward=lambda self, x, y: x * y, backward=backward)
    graph.apply(layer, graph.variable("x", 2.0), graph.variable("y", 3.0))
    graph.backward()


def broken():
    """A network whose answers are NaN for some images."""
    network = SimpleConvNet((1, 12, 12), seed=0)
    network.set_params({**network.params, "b3": np.full(10, np.nan, "f4")})
    return network


class FullDisk(Callback):
    """A callback that puts a file in the place of a folder, once the training has begun."""

    def on_train_begin(self, trainer):
        shutil.rmtree("there")
        Path("there").write_text("")


SLOTS = "self.v = {key: 0 * W for key, W in params.items()}"
STEPS = "step_scalars(first, count)", "update(params, grads, step_scalars)"
CALLS = {"params": {}, "grads": {}, "step_scalars": lambda *_: [0.1], "first": 0, "count": 1}
CALLS |= {name: lambda *_: None for name in ("update", "prepare")}


def with_methods(*signatures, first=""):
    """An optimizer of the user's own with methods of these signatures; `first` is what `update` does first."""
    bodies = {
        "step_scalars": "return numpy.full((count, 1), 0.1)",
        "prepare": SLOTS,
        "update": "for key in params: params[key] -= 0.1 * grads[key]",
    }
    bodies["update"] = f"{first or 'pass'}\n  {bodies['update']}"
    lines = [f" def {line.replace('(', '(self, ', 1)}:\n  {bodies[line.partition('(')[0]]}" for line in signatures]
    names = {"numpy": np, "hidden": itertools.count()}
    exec("class Own:\n varying, made = (), 0\n" + "\n".join(lines), names)
    return names["Own"]()


# Part of the message; the names that the user has; what is said to them, and what works once the code is executed.
# Both are given the names, the second one those that the code has bound and its values, too.
ADVICE = [
    # --- networks and layers ---
    (
        "layers must be a list of layers such as",
        {"Affine": Affine},
        lambda n: Network(affine(4, 3)),
        lambda n: Network(n.result),
    ),
    (
        "Every layer that has parameters is frozen",
        lambda: {
            "network": Network({"First": affine(4, 5), "Relu": Relu()}),
            "Affine": Affine,
            "n_in": 5,
            "n_out": 3,
            "name": "Relu",
        },
        lambda n: n.network.freeze("First"),
        lambda n: train(n.result),
    ),
    (
        "is being trained already",
        lambda: {"network": net()},
        lambda n: train(n.network, callbacks=[lambda trainer: train(n.network)]),
        lambda n: train(n.result),
    ),
    (
        "must be a layer, got the class",
        {"W": np.ones((4, 3)), "b": np.ones(3)},
        lambda n: Network([Affine]),
        lambda n: Network([n.result]),
    ),
    (
        "must be a layer, got the class",
        {"size": 3, "Sized": Sized},
        lambda n: Network([affine(4, 3), Sized]),
        lambda n: Network([affine(4, 3), n.result]),
    ),
    (
        "must be a layer with a loss, got the class",
        {},
        lambda n: Network([affine(4, 3)], SigmoidWithLoss),
        lambda n: Network([affine(4, 3)], n.result),
    ),
    (
        "of a Residual must be a list of layers",
        {},
        lambda n: Residual(Relu()),
        lambda n: n.result.forward(X),
    ),
    (
        "so they have no names",
        {},
        lambda n: setattr(net(IdentityWithLoss()), "classes", ["a", "b", "c"]),
        lambda n: setattr(net(n.result), "classes", ["a", "b", "c"]),
    ),
    (
        "gives no probabilities; its outputs are",
        lambda: {"network": net(IdentityWithLoss()), "x": X},
        lambda n: n.network.predict_proba(X),
        lambda n: n.result.shape == (6, 3),
    ),
    (
        "are no classes that exclude each other. Use `network.",
        lambda: {"network": net(SigmoidWithLoss()), "x": X},
        lambda n: n.network.predict_labels(X),
        lambda n: n.result.dtype == bool,
    ),
    (
        "are no classes that exclude each other. Use `network.",
        lambda: {"network": net(IdentityWithLoss()), "x": X},
        lambda n: n.network.predict_labels(X),
        lambda n: n.result.shape == (6, 3),
    ),
    (
        "has no classes, so no accuracy",
        lambda: {"network": net(IdentityWithLoss()), "x": X, "t": AMOUNTS},
        lambda n: n.network.accuracy(X, AMOUNTS),
        lambda n: n.result > 0,
    ),
    (
        "With values of running statistics or of frozen parameters among them",
        lambda: {"network": batch_normalized(), "values": batch_normalized().state.weights()},
        lambda n: n.network.set_params(n["values"]),
        lambda n: None,
    ),
    (
        "What is frozen is in",
        lambda: {"network": Network({"First": affine(4, 5), "Last": affine(5, 3)}).freeze("First")},
        lambda n: n.network.params["W1"],
        lambda n: n.result["W1"].shape == (4, 5),
    ),
    (
        "To create a layer from its sizes use",
        {},
        lambda n: Affine(4, 3),
        lambda n: n.result(4, 3),
    ),
    (
        "Make images of them with",
        {"x": X.reshape(6, 4), "height": 2, "width": 2},
        lambda n: Convolution(np.ones((2, 1, 2, 2)), np.zeros(2)).forward(n.x),
        lambda n: Convolution(np.ones((2, 1, 2, 2)), np.zeros(2)).forward(n.result),
    ),
    (
        "Bring the channels to the front with",
        {"x": np.ones((6, 5, 4, 3))},
        lambda n: Convolution(np.ones((2, 3, 2, 2)), np.zeros(2)).forward(n.x),
        lambda n: Convolution(np.ones((2, 3, 2, 2)), np.zeros(2)).forward(n.result).shape == (6, 2, 4, 3),
    ),
    (
        "needs at least two values of each column or channel in training",
        {},
        lambda n: batch_normalized().gradient(X[:1], T[:1]),
        lambda n: train(batch_normalized(), X[:4], T[:4], drop_last=n.drop_last),
    ),
    (
        "expects floats, got",
        {"x": (255 * IMAGES).astype("uint8")},
        lambda n: Convolution(np.ones((2, 1, 2, 2)), np.zeros(2)).forward(n.x),
        lambda n: Convolution(np.ones((2, 1, 2, 2)), np.zeros(2)).forward(n.result).max() < 4.1,
    ),
    (
        "Inputs must be uint8 pixels (which are scaled by 1/255) or floats",
        {"x": (255 * X).astype("int64")},
        lambda n: net().predict(n.x),
        lambda n: [net().predict(x) for x in n.results],
    ),
    (
        "Leave such samples out: `known = numpy.isfinite({name})",
        {"x": with_nan(X), "t": T},
        lambda n: net().predict(n.x),
        lambda n: net().loss(*n.results[1:]),
    ),
    (
        "Leave such samples out: `known = numpy.isfinite({name})",
        {"x_train": with_nan(X), "t_train": T},
        lambda n: train(net(), n.x_train, n.t_train),
        lambda n: train(net(), *n.results[1:]),
    ),
    (
        "Arrays of two libraries met",
        lambda: {"a": X, "b": asarray(X, backend="array_api_strict")},
        lambda n: xpnet.get_array_module(n.a, n.b),
        lambda n: xpnet.get_array_module(n.result, n.b),
    ),
    (
        "head must be a list of layers, such as",
        {"Affine": Affine, "n_in": 5, "n_out": 2},
        lambda n: with_new_head(net(), affine(5, 2), keep="Relu1"),
        lambda n: with_new_head(net(), n.result, keep="Relu1").predict(X),
    ),
    (
        "Take fewer at once",
        lambda: {"network": net()},
        lambda n: without_memory(in_training=False).predict(X, batch_size=4),
        lambda n: n.network.predict(X, batch_size=n.batch_size),
    ),
    (
        "or move the network with",
        lambda: {"x": X, "network": net().to("array_api_strict")},
        lambda n: n.network.predict(n.x),
        lambda n: [net().to("array_api_strict").predict(n.results[0]), n.network.predict(X)],
    ),
    (
        "or the network with",
        lambda: {"value": np.ones((4, 5)), "network": net()},
        lambda n: n.network.params.__setitem__("W1", n.value),
        lambda n: [net().params.__setitem__("W1", n.results[0]), n.network.params.__setitem__("W1", n.value)],
    ),
    (
        "For a network's parameters call",
        lambda: {"x": read_only(X), "t": T, "network": net()},
        lambda n: numerical_gradient(lambda x: (x**2).sum(), n.x),
        lambda n: numerical_gradient(lambda x: (x**2).sum(), n.result),
    ),
    # --- examples of values ---
    (
        "must be the shape of one sample, such as",
        {},
        lambda n: Network([affine(784, 3)], input_shape="28"),
        lambda n: Network([affine(784, 3)], input_shape=n.result),
    ),
    (
        "Expected the name of a dtype of numbers such as",
        {},
        lambda n: asarray(X, dtype="floats"),
        lambda n: asarray(X, dtype=n.result),
    ),
    (
        "image_shape must be (height, width) or (channels, height, width), such as",
        {},
        lambda n: Augmentation(image_shape=28),
        lambda n: Augmentation(image_shape=n.result),
    ),
    (
        "classes must be a list of words, such as",
        {},
        lambda n: setattr(net(outputs=2), "classes", "cat"),
        lambda n: setattr(net(outputs=2), "classes", n.result),
    ),
    (
        "input_dim must be the shape of an image, such as",
        {},
        lambda n: SimpleConvNet(28),
        lambda n: SimpleConvNet(n.result),
    ),
    (
        "filter_nums must be a list of the channels of each stage, such as",
        {},
        lambda n: xpnet.ResNet(filter_nums=16),
        lambda n: xpnet.ResNet(filter_nums=n.result),
    ),
    (
        "hidden_size_list must be a list of sizes such as",
        {},
        lambda n: xpnet.MultiLayerNet(4, 6, 3),
        lambda n: xpnet.MultiLayerNet(4, n.result, 3),
    ),
    (
        "Initial weights must be given by a standard deviation such as",
        {},
        lambda n: TwoLayerNet(4, 5, 3, "large"),
        lambda n: [TwoLayerNet(4, 5, 3, how) for how in n.results],
    ),
    (
        "or a pair of them such as",
        {},
        lambda n: Convolution(np.ones((2, 1, 2, 2)), np.zeros(2), stride=(1, 2, 3)),
        lambda n: Convolution(np.ones((2, 1, 2, 2)), np.zeros(2), stride=n.result),
    ),
    (
        "but CuPy is not installed",
        {},
        lambda n: [without_cupy(), os.environ.update(XPNET_BACKEND="cupy"), get_backend()],
        lambda n: get_backend().name == "numpy",
    ),
    ("must be a path, such as", {}, lambda n: net().save(3), lambda n: net().save(n.result)),
    # --- training ---
    (
        "Use `None, None` for no test set",
        {},
        lambda n: trainer(net(), X, T, X[:0], T[:0]),
        lambda n: trainer(net(), X, T, *n.result),
    ),
    (
        "validation must be a share of the training set",
        {"x_val": X, "t_val": T},
        lambda n: trainer(validation=2),
        lambda n: [trainer(validation=value) for value in n.results],
    ),
    (
        "augmentation must be a function of a minibatch's inputs",
        {},
        lambda n: trainer(SimpleConvNet((1, 12, 12), seed=0), IMAGES, T, augmentation=Augmentation),
        lambda n: train(SimpleConvNet((1, 12, 12), seed=0), IMAGES, T, augmentation=n.result),
    ),
    (
        "callbacks must be a list, got",
        {"callback": print},
        lambda n: trainer(callbacks=print),
        lambda n: trainer(callbacks=n.callbacks),
    ),
    (
        "callbacks must be a list, got",
        {"path": "best.safetensors"},
        lambda n: trainer(callbacks=BestModel),
        lambda n: trainer(callbacks=n.callbacks),
    ),
    (
        "callbacks must be functions of the trainer",
        {"path": "best.safetensors"},
        lambda n: trainer(callbacks=[BestModel]),
        lambda n: train(callbacks=[n.result], validation=0.5),
    ),
    (
        "but there is no validation set",
        {"x_val": X, "t_val": T},
        lambda n: train(callbacks=[EarlyStopping()]),
        lambda n: [train(net(), *larger(), callbacks=[EarlyStopping()], validation=value) for value in n.results],
    ),
    (
        "of a validation set of one sample",
        {},
        lambda n: train(callbacks=[EarlyStopping()], validation=(X[:1], T[:1])),
        lambda n: quiet(lambda: train(net(), *larger(), callbacks=[EarlyStopping()], validation=n.validation)),
    ),
    (
        "follows val_acc, but",
        {},
        lambda n: train(
            net(IdentityWithLoss()), X, AMOUNTS, validation=0.5, callbacks=[EarlyStopping(monitor="val_acc")]
        ),
        lambda n: train(
            net(IdentityWithLoss()), X, AMOUNTS, validation=0.5, callbacks=[EarlyStopping(monitor=n.monitor)]
        ),
    ),
    (
        "Save them in another place with",
        lambda: {"trainer": trainer(validation=0.5, callbacks=[BestModel("there/best.safetensors"), FullDisk()])},
        lambda n: n.trainer.train(),
        lambda n: net().load("best.safetensors"),
    ),
    (
        "to do without",
        {},
        lambda n: train(Network([affine(4, 3), Plain()]), capture=True),
        lambda n: [
            train(Network([affine(4, 3), Plain()]), capture="auto"),
            train(recordable("recordable" in n), capture=True),
        ],
    ),
    (
        "to do so without a warning",
        {"xp": np, "mask": X > 0, "a": X, "b": X},
        lambda n: train(masked_layer(), *larger(), epochs=300),
        lambda n: quiet(lambda: train(masked_layer("xp.where(mask, a, b)"), *larger(), capture=n.capture)),
    ),
    (
        "Multiply by the mask, or use",
        {"xp": np, "mask": X > 0, "a": X, "b": X},
        lambda n: train(masked_layer(), capture=True),
        lambda n: train(masked_layer(n.codes[0]), capture=True),
    ),
    (
        "The step draws random numbers from",
        {},
        lambda n: train(recordable(forward=lambda self, x: Relu.forward(self, x) * np.random.random()), capture=True),  # noqa: NPY002
        lambda n: None,
    ),
    (
        "The usual remedy is a lower learning rate",
        {},
        lambda n: train(optimizer_param={"lr": 1e30}),
        lambda n: quiet(lambda: train(optimizer_param={"lr": 0.1, "max_norm": n.max_norm})),
    ),
    (
        "so nothing is learned: its schedule has come to its end",
        lambda: {"trainer": trainer(optimizer=Adam(xpnet.CosineDecay(0.1, steps=4)), epochs=2)},
        lambda n: [n.trainer.train() for _ in range(2)],
        lambda n: quiet(n.trainer.train),
    ),
    (
        "When this training has ended make another trainer",
        lambda: {"trainer": trainer(), "x_train": X, "t_train": T, "x_test": X, "t_test": T},
        lambda n: setattr(n.trainer, "mini_batch_size", 2),
        lambda n: n.result.train(),
    ),
    (
        "Train on with a smaller one",
        {},
        lambda n: train(without_memory(in_training=True), mini_batch_size=6, capture=False),
        lambda n: train(mini_batch_size=n.mini_batch_size),
    ),
    (
        "Keep the samples with a label",
        {"x": X, "t": np.array(["a", "b", None, "a", "b", "c"], dtype=object)},
        lambda n: train(net(), n.x, n.t),
        lambda n: train(net(), n.x[n.result], n.t[n.result]),
    ),
    # --- optimizers ---
    (
        "Expected an optimizer, got the class",
        {},
        lambda n: trainer(optimizer=Adam),
        lambda n: train(optimizer=n.result),
    ),
    (
        "for another network, or from before it was flattened",
        lambda: {"trainer": trainer(Network({"First": affine(4, 5), "Last": affine(5, 3)}), optimizer=Adam(lr=0.1))},
        lambda n: [n.trainer.train(), n.trainer.network.freeze("First"), n.trainer.train()],
        lambda n: n.trainer.train(),
    ),
    (
        "update_one must return W and its slots",
        {"W": X, "v": X},
        lambda n: train(optimizer=step_that_returns("W")),
        lambda n: train(optimizer=step_that_returns(n.codes[0].removeprefix("return "))),
    ),
    (
        "whose square overflows in",
        {},
        lambda n: Adam(0.1).update({"W": X.copy()}, {"W": X * np.float32(1e30)}),
        lambda n: Adam(0.1, max_norm=n.max_norm).update({"W": X.copy()}, {"W": X * np.float32(1e30)}),
    ),
    (
        "An optimizer has a method",
        CALLS,
        lambda n: trainer(optimizer=with_methods()),
        lambda n: train(optimizer=with_methods(*n.codes)),
    ),
    (
        "by which a replayed step gets its learning rate",
        CALLS,
        lambda n: train(optimizer=with_methods("update(params, grads)"), capture=True),
        lambda n: train(optimizer=with_methods(*n.codes[:2]), capture=True),
    ),
    (
        "The first step creates",
        CALLS,
        lambda n: train(optimizer=with_methods(*STEPS, first=SLOTS), capture=True),
        lambda n: train(optimizer=with_methods(*STEPS, n.codes[0]), capture=True),
    ),
    (
        "on the host (from",
        CALLS,
        lambda n: train(optimizer=with_methods(*STEPS, first="self.made += 1"), capture=True),
        lambda n: train(optimizer=with_methods(n.codes[0], STEPS[1]), capture=True),
    ),
    (
        "nor in the optimizer's",
        CALLS,
        lambda n: train(
            optimizer=with_methods(*STEPS, first="for W in params.values(): W *= next(hidden)"), capture=True
        ),
        lambda n: train(optimizer=with_methods(n.codes[0], STEPS[1]), capture=True),
    ),
    # --- images ---
    (
        "key must be an int32 array of shape (1,)",
        {},
        lambda n: xpnet.data.augmentation.add_noise(IMAGES, 0.1, 7),
        lambda n: xpnet.data.augmentation.add_noise(IMAGES, 0.1, n.result),
    ),
    (
        "Give the height and width of flattened images with",
        {"channels": 3, "height": 2, "width": 5},
        lambda n: Augmentation(shift=1)(np.ones((3, 30), "float32")),
        lambda n: [
            Augmentation(shift=1, image_shape=shape)(np.ones((3, columns), "float32"))
            for shape, columns in zip(n.results, (10, 30), strict=True)
        ],
    ),
    # --- files ---
    (
        "Give the path of a file of parameters, such as the book's",
        {},
        lambda n: load_weights(pickled("folder/params.pkl").parent),
        lambda n: n.result["W1"].shape == (4, 3),
    ),
    (
        "for a file or folder whose own name begins with `~`",
        {},
        lambda n: net().save("~nobody-of-this-name/w"),
        lambda n: [Path(n.result).parent.mkdir(), net().save(n.result)],
    ),
    (
        "is no safetensors file, which `network.save` writes",
        lambda: {"network": net()},
        lambda n: [net().save("weights.safetensors"), n.network.load(text("weights.txt"))],
        lambda n: None,
    ),
    (
        "If they are your own weights",
        {},
        lambda n: load_sample_weight(pickled("sample_weight.pkl")),
        lambda n: n.result["W1"].shape == (4, 3),
    ),
    (
        "Other sets of images in IDX files are read by",
        {"folder": "emnist"},
        lambda n: load_mnist(dataset="emnist", data_dir=idx_files(Path("emnist"))),
        lambda n: n.result[0][0].shape == (3, 16),
    ),
    (
        "Read a single file with",
        {"path": "set/train-images-idx3-ubyte"},
        lambda n: load_idx([idx_files(Path("set"))]),
        lambda n: n.result.shape == (3, 4, 4),
    ),
    (
        "for the first number of each",
        {},
        lambda n: load_idx(label_columns(Path("set"))),
        lambda n: n.result.tolist() == [0, 1, 2],
    ),
    (
        "and scale the images yourself",
        {},
        lambda n: load_idx(idx_files(Path("set"), dtype="f4")),
        lambda n: load_idx("set", normalize=n.normalize)[0][0].max() == 47,
    ),
    (
        "below the first class",
        {},
        lambda n: load_idx(idx_files(Path("set"), labels=(1, 2, 3)), first_label=2),
        lambda n: load_idx("set", first_label=n.first_label)[0][1].tolist() == [0, 1, 2],
    ),
    (
        "the first class, or `first_label=0` to keep them",
        {},
        lambda n: load_idx(idx_files(Path("set"), labels=(1, 2, 3))),
        lambda n: [load_idx("set", first_label=first)[0][1][0] for first in n.results] == [0, 1],
    ),
    (
        "holds several sets",
        {},
        lambda n: load_idx(idx_files(idx_files(Path("set"), prefix="emnist-mnist-"), prefix="emnist-digits-")),
        lambda n: load_idx("set", name=n.name),
    ),
    # --- backends ---
    (
        "There is no backend {",
        {},
        lambda n: [os.environ.update(XPNET_BACKEND="nmpy"), get_backend()],
        lambda n: get_backend().name == "numpy",
    ),
    (
        "the module of that name does not follow the Python array API standard",
        {},
        lambda n: [os.environ.update(XPNET_BACKEND="json"), get_backend()],
        lambda n: get_backend().name == "numpy",
    ),
    (
        "is in the working folder, and only installed modules",
        {},
        lambda n: [
            os.environ.update(XPNET_BACKEND="a_module_here"),
            Path("a_module_here.py").write_text("from array_api_strict import *"),
            get_backend(),
        ],
        lambda n: [sys.modules.pop("a_module_here"), get_backend().name][1] == "numpy",
    ),
    # --- gradients and graphs ---
    (
        "`x.real` and `x.imag` separately",
        {"x": X[0] + 1j},
        lambda n: numerical_gradient(lambda x: (abs(x) ** 2).sum(), n.x),
        lambda n: [numerical_gradient(lambda x: (x**2).sum(), np.array(part)) for part in n.results],
    ),
    (
        "Use `graph.apply(MulLayer(), x, y)`",
        lambda: {"graph": Graph(), "x": 2.0, "y": 3.0},
        lambda n: n.graph.apply(print, n.x),
        lambda n: n.result.value == 6,
    ),
    (
        "Expected a layer, got the class",
        {"W": np.ones((4, 3)), "b": np.ones(3)},
        lambda n: Graph().apply(Affine, X),
        lambda n: Graph().apply(n.result, X),
    ),
    (
        "is a node of the graph already",
        lambda: {"graph": Graph(), "layer": Affine(np.ones((4, 4)), np.zeros(4))},
        lambda n: [n.graph.apply(n.layer, X) for _ in range(2)],
        lambda n: n.graph.apply(n.result, X),
    ),
    (
        "The graph has no nodes",
        lambda: {"graph": Graph(), "layer": Sigmoid(), "x": X},
        lambda n: n.graph.backward(),
        lambda n: n.graph.backward(),
    ),
    (
        "is a value of another graph",
        lambda: {"value": Graph().variable("x", 2.0)},
        lambda n: Graph().apply(MulLayer(), n.value, 3.0),
        lambda n: Graph().apply(MulLayer(), n.results[-1], 3.0),
    ),
    (
        "It must return one per input",
        {"dx": 1.0, "dy": 1.0},
        lambda n: back_through(lambda self, dout: (dout, dout, dout)),
        lambda n: back_through(lambda self, dout: n.result),
    ),
    # --- search ---
    (
        "a History without validation accuracies",
        lambda: {"history": train(validation=0.5)},
        lambda n: search(lambda lr: train()),
        lambda n: [search(lambda lr: train(validation=n.validation)), search(lambda lr: n.result)],
    ),
    (
        "higher is better, got",
        lambda: {"trainer": trainer(validation=0.5)},
        lambda n: search(lambda lr: None),
        lambda n: search(lambda lr: n.result),
    ),
    (
        "No trial has a history to draw",
        lambda: {"trainer": trainer(validation=0.5)},
        lambda n: search(lambda lr: 1.0).plot_curves(),
        lambda n: search(lambda lr: n.result).plot_curves(),
    ),
    ("The space has no parameter", {}, lambda n: search(space={}), lambda n: search(space=n.result)),
    (
        " Use `xpnet.search.Choice([{",
        {},
        lambda n: xpnet.search.Choice("SGD"),
        lambda n: search(space={"name": n.result}),
    ),
    (" Draw among values with `", {}, lambda n: search(space={"lr": [0.1, 0.2]}), lambda n: search(space=n.result)),
    (" Draw among values with `", {}, lambda n: search(space={"lr": 0.1}), lambda n: search(space=n.result)),
    (
        "It is a view on the layers",
        lambda: {"network": net(), "values": net().state.weights()},
        lambda n: setattr(n.network.state, "params", n.values),
        lambda n: None,
    ),
    # --- drawing ---
    (
        "Those of a network's first convolution are",
        lambda: {"network": SimpleConvNet((1, 12, 12), seed=0)},
        lambda n: drawing.plot_filters(X),
        lambda n: drawing.plot_filters(n.result),
    ),
    (
        "which training changes in place",
        lambda: {"network": SimpleConvNet((1, 12, 12), seed=0)},
        lambda n: drawing.plot_filters(n.network.params["W1"], n.network.params["W1"]),
        lambda n: drawing.plot_filters(n.before, n.network.params["W1"]),
    ),
    (
        "Expected one image",
        {"x": IMAGES},
        lambda n: drawing.plot_activations(SimpleConvNet((1, 12, 12), seed=0), n.x),
        lambda n: drawing.plot_activations(SimpleConvNet((1, 12, 12), seed=0), n.result),
    ),
    (
        "the network classifies all",
        lambda: {
            "network": SimpleConvNet((1, 12, 12), seed=0),
            "x_test": IMAGES,
            "t_test": np.full(6, 9),
            "plot_misclassified": drawing.plot_misclassified,
        },
        lambda n: drawing.plot_misclassified(n.network, IMAGES, n.network.predict_labels(IMAGES)),
        lambda n: None,
    ),
    (
        "so that one could be taken for another",
        {},
        lambda n: drawing.plot_misclassified(net(SigmoidWithLoss()), X, T),
        lambda n: drawing.plot_misclassified(net(n.result), X, (net().predict_labels(X) + 1) % 3),
    ),
    (
        "with one score per class",
        lambda: {"x": X[0], "network": net()},
        lambda n: drawing.plot_misclassified(n.network, n.x, np.array(2)),
        lambda n: drawing.plot_misclassified(n.network, n.result, (n.network.predict_labels(n.result) + 1) % 3),
    ),
    (
        "Find the first such layer with",
        lambda: {"network": broken(), "x": IMAGES, "plot_activations": drawing.plot_activations},
        lambda n: drawing.plot_misclassified(n.network, IMAGES, T),
        lambda n: None,
    ),
    (
        "(N, H*W) with H = W, got",
        {"images": np.ones((3, 10)), "H": 2, "W": 5},
        lambda n: drawing.plot_images(n.images),
        lambda n: drawing.plot_images(n.result),
    ),
    (
        "There is nothing to draw: no array was given",
        {"array": X},
        lambda n: drawing.plot_histograms({}),
        lambda n: drawing.plot_histograms(n.result),
    ),
    (
        "There is nothing to draw: no path was given",
        {},
        lambda n: drawing.plot_paths(np.hypot, {}),
        lambda n: drawing.plot_paths(np.hypot, n.result),
    ),
    (
        "Name another quantity with",
        {},
        lambda n: drawing.plot_runs({"a": [1, 2]}, quantity="seconds"),
        lambda n: drawing.plot_runs({"a": [1, 2]}, ylabel=n.ylabel),
    ),
    (
        "window must be odd, so that it has a middle",
        {},
        lambda n: drawing.smooth_curve([1.0, 2.0, 3.0, 2.0, 1.0], window=4),
        lambda n: drawing.smooth_curve([1.0, 2.0, 3.0, 2.0, 1.0], window=n.window),
    ),
    (
        "There is nothing to draw: no curve was given",
        lambda: {"history": train()},
        lambda n: drawing.plot_runs({}),
        lambda n: drawing.plot_runs(n.result),
    ),
    (
        "which is no format of a drawing",
        {},
        lambda n: a_graph().draw("folder/graph.jpg"),
        lambda n: a_graph().draw(path=n.path),
    ),
]

# Parts of the messages whose advice other files of tests execute.
ELSEWHERE = {
    "package/test_remedies.py": [  # the other parts of messages that are put together
        "Use `{call_of(callback)}`.",
        "Convert the value with",
    ],
    "package/test_remedies_entries.py": [
        "Use `{code}`{more}.",
        "Use `{code}`.",
        "Use `x.real` for the real parts.",
        "Use `{name} = network.asarray({name})`",
        "Use `{short}.astype('float32')`.",
        "Convert it with `network.asarray(value)`.",
        "The parameters are a view on the layers.",
        "Make new layers for each network, or use",
        "must be a layer such as `Relu()`",
        "is part of a network, which keeps a list of trainable parameters.",
        "must be a layer with a loss such as `SoftmaxWithLoss()`",
        "network must be a network such as",
        "share memory, and each is to learn for itself.",
    ],
    "package/test_remedies_files.py": [
        "a file of PyTorch. In a program that has PyTorch",
        "a file of Keras. In a program that has Keras",
        "a .npy file, whose array has no name.",
        "compressed with gzip.",
        "is perhaps a model of ONNX.",
        "Write it once more, in the program that has the arrays:",
        "Convert it with PyTorch:",
        "In the program that has the arrays, write them alone:",
        "reads larger files that a network has saved.",
        "train again with a lower learning rate",
        "Use `os.fsdecode({name})`.",
        "Use `network.state.set_weights(load_weights({path}))`",
    ],
    "package/test_remedies_images.py": [
        "which has the channels last.",
        "pixels, set `image_shape=",
        "Expected classes to be different names of sub-folders",
        "size must be a height and a width",
        "Repair or remove them, or load the others with",
    ],
    "package/test_remedies_kernels.py": [
        "Sum its result:",
        "The function given to numerical_gradient changes `x`.",
        "Pass `x.astype('float64')`.",
        "Pass floats: `x = x.astype('float64')`.",
        "For the gradient of their sum:",
    ],
    "package/test_remedies_losses.py": [
        "Number the classes with",
        "Number the classes from 0 with",
        "if your labels start at 1.",
        "Leave such samples out: `known = numpy.isfinite(t)",
        "Leave out samples of no class:",
        "For classes that exclude each other use",
        "Convert them with `t = t.astype('",
        "For targets of any size use",
        "A row cannot be the weight of its sample:",
        "For a column of outputs make one of the targets:",
        "Make a column of them with",
        "The softmax of one score is 1",
        "Make truth values of them with",
    ],
    "package/test_remedies_optim.py": [
        "Inputs must be floats or uint8 pixels, got bool.",
        "Scale the values, or use",
        "If these are numbers read as text use",
        "Make an optimizer for each network",
        "updates float32 and float64 arrays.",
        "For features of 0 and 1 use",
        "drop_last=True leaves no minibatch",
        "Batch normalization learns nothing from",
        "Give both in the same form",
    ],
    "bench/test_report.py": ["as in `--widths 50,1000`"],
    "package/test_example.py": ["The training diverged"],
    "test_backend.py": ["but no CUDA device answers"],
    "engine/test_capture.py": ["A class that makes the same array operations in each step declares"],
    "data/test_download.py": [
        "is not in {cache} and no mirror provided it",
        "The book's weights are not in {cache}",
    ],
    "data/test_idx.py": ["is not the published file: it is that of", "If the folder holds another set, use"],
}

# What is executed nowhere, and why.
INSTALLS, COUNTING = "installs a package", "is told to the tests that count launches, and to no user"
NOT_RUN = {
    "`pip install '.[cuda12]'` (or cuda13": INSTALLS,
    "which break each other. Remove them all with": INSTALLS,
    "needs matplotlib.": INSTALLS,
    "Plots need matplotlib.": INSTALLS,
    "needs Pillow.": INSTALLS,
    "Install it with `sudo apt install graphviz`": INSTALLS,
    "The Python package graphviz is not installed.": INSTALLS,
    "a pointer to a file that Git LFS keeps elsewhere.": "downloads",
    "A NumPy array met an array on the device": COUNTING,
    "An array on the device met NumPy": COUNTING,
    "python -m xpnet": "the name of the program",
}

# Messages whose code is the name of what they speak of.
NAMES_ONLY = (
    "does not implement",
    "cannot change, since the network has checked its shapes",
    "cannot be changed once the",
    "takes no argument `",
    "but its backward sets",
    "sets `self.{name}` to numbers of",
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    for name in ("XPNET_BACKEND", "XPNET_DATA_DIR"):
        monkeypatch.setenv(name, "")  # and put back after the test, whatever is set in it
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("says", "names", "call", "then"), ADVICE, ids=[f"{i} {row[0][:40]}" for i, row in enumerate(ADVICE)]
)
def test_what_is_advised_works(says, names, call, then):
    n = Names(names() if callable(names) else names)
    message = said(lambda: call(n))
    assert says.partition("{")[0] in message
    n["codes"] = codes(message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a network whose numbers are not finite, which is looked at
        for code in n.codes:
            n.run(code)
    assert then(n) is not False


def test_nothing_is_left_out_where_nothing_would_be_left():
    says = said(lambda: net().predict(with_nan(X[:2])[1]))
    assert "in 1 of 1 samples" in says
    assert not codes(says)


def test_words_have_one_space_between_them():
    """Advice stands in backticks, by which `codes` finds it, and in no gap."""
    assert not [text for text in texts() if re.search(r"[a-z0-9:,]  \S", text)]


def test_each_message_with_advice_has_its_test():
    """A new message brings a row of the table, or a test elsewhere that is noted here."""
    known = [says for says, *_ in ADVICE] + [*sum(ELSEWHERE.values(), []), *NOT_RUN, *NAMES_ONLY]
    strings = list(texts())
    assert all((Path(__file__).parents[1] / name).exists() for name in ELSEWHERE)
    assert not [text for text in strings if gives_advice(text) and not any(part in text for part in known)]
    assert not [part for part in known if not any(part in text for text in strings)], "these are in no message now"
