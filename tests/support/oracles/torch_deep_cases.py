"""The matrix in PyTorch: normalization, dropout, and the network of many layers; see `torch_cases`."""

from contextlib import suppress

from case_table import LABEL_FORMS, SHAPES
from deep_cases import BATCHES, DECAY, KEYS, MULTI_LAYER, RATIO, seen

from oracles.torch_table import (
    ACTIVATIONS,
    Results,
    Tensor,
    elementwise,
    given,
    gradients,
    labels,
    learned,
    oracle,
)

with suppress(ImportError):  # pytest looks for doctests in this file also where there is no PyTorch
    import torch
    from torch.nn import functional as F


def lowbias32(x: int) -> int:
    """The published hash of an unsigned 32-bit integer: C. Wellons, "Prospecting for Hash Functions" (2018)."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def kept(shape: tuple[int, ...], key: int, step: int) -> Tensor:
    """Ones where a number is kept in that step (the first is 1), zeros where it is dropped.

    Of PyTorch's own generator the bits are others: the hash says which.
    """
    begin = key + step * 0x9E3779B9
    hashes = [lowbias32((begin + i) % 2**32) for i in range(torch.Size(shape).numel())]
    # Dropped are the lowest of the numbers as signed ones: those from 2**31 on are the negative.
    lowest = [(h + 2**31) % 2**32 < RATIO * 2**32 for h in hashes]
    return 1 - torch.tensor(lowest).double().reshape(shape)


def _dropout(shape: tuple[int, ...], scale: float) -> Results:
    mask = scale * kept(shape, KEYS[0], step=2)
    return {**elementwise(lambda x: x * mask, shape, 2, "x"), "mask": mask}


for _kind, _shape in SHAPES.items():
    oracle(f"Dropout/{_kind}")(lambda shape=_shape: _dropout(shape, 1 / (1 - RATIO)))
    oracle(f"Dropout/{_kind}, not inverted")(lambda shape=_shape: _dropout(shape, 1.0))
oracle("Dropout/inference")(lambda: elementwise(lambda x: x.clone(), (5, 7), 2, "x"))
oracle("Dropout/inference, not inverted")(lambda: elementwise(lambda x: (1 - RATIO) * x, (5, 7), 2, "x"))


def _layer_normalization(shape: tuple[int, ...]) -> Results:
    x, gamma, beta = learned(1, *shape), learned(5, shape[-1]), learned(6, shape[-1])
    y = F.layer_norm(x, shape[-1:], gamma, beta)
    return {"y": y, **gradients(y, {"dx": x, "dgamma": gamma, "dbeta": beta}, given(2, *shape))}


for _kind, _shape in SHAPES.items():
    oracle(f"LayerNormalization/{_kind}")(lambda shape=_shape: _layer_normalization(shape))


def _batch_normalization(last: tuple[int, int] | None) -> Results:
    """The last of the batches in training; or after them, at inference, one of that seed and size."""
    gamma, beta = learned(5, 7), learned(6, 7)
    statistics = {"running_mean": torch.zeros(7).double(), "running_var": torch.ones(7).double()}
    for seed, size in BATCHES:
        x = learned(seed, size, 7)
        y = F.batch_norm(x, *statistics.values(), gamma, beta, training=True, momentum=0.25)
    if last:
        x = learned(last[0], last[1], 7)
        y = F.batch_norm(x, *statistics.values(), gamma, beta, training=False)
    return {"y": y, **gradients(y, {"dx": x, "dgamma": gamma, "dbeta": beta}, given(4, *y.shape)), **statistics}


oracle("BatchNormalization/training")(lambda: _batch_normalization(None))
oracle("BatchNormalization/inference")(lambda: _batch_normalization((7, 2)))


class MultiLayer:
    """The network of the same name with everything that there is for it: 12 inputs, 6 and 4 hidden units, 7 outputs."""

    def __init__(self, activation: str) -> None:
        name = "".join(part.capitalize() for part in activation.split("_"))
        # The class of the course's name has its own slope, that of PyTorch's function.
        self.activate = F.leaky_relu if name == "LeakyRelu" else ACTIVATIONS[name]
        self.parameters = {key: learned(i, *shape) for i, (key, shape) in enumerate(MULTI_LAYER.items(), 5)}
        self.statistics: Results = {}
        for key in ("1", "2"):
            width = MULTI_LAYER[f"gamma{key}"]
            self.statistics[f"running_mean{key}"] = torch.zeros(width).double()
            self.statistics[f"running_var{key}"] = torch.ones(width).double()

    def scores(self, y: Tensor, *, training: bool) -> Tensor:
        """The scores of a batch, in training with the first step's masks."""
        p, s = self.parameters, self.statistics
        for i, key in zip("12", KEYS, strict=True):
            y = F.linear(y, p[f"W{i}"].T, p[f"b{i}"])
            moving = (s[f"running_mean{i}"], s[f"running_var{i}"])
            y = F.batch_norm(y, *moving, p[f"gamma{i}"], p[f"beta{i}"], training=training, momentum=0.1)
            y = self.activate(y)
            if training:
                y = y * kept(tuple(y.shape), key, step=1) / (1 - RATIO)
        return F.linear(y, p["W3"].T, p["b3"])

    def loss(self, scores: Tensor, form: str = "index") -> Tensor:
        """The cross entropy, and the weight decay that is added to it."""
        decay = sum((self.parameters[key] ** 2).sum() for key in ("W1", "W2", "W3"))
        return F.cross_entropy(scores, labels(form)) + 0.5 * DECAY * decay


def _multi_layer(activation: str, form: str = "index") -> tuple[Results, Results]:
    network = MultiLayer(activation)
    loss = network.loss(network.scores(given(1, 5, 12), training=True), form)
    return {**seen(gradients(loss, network.parameters)), **network.statistics}, {"loss": loss}


for _name in ("relu", "sigmoid", "tanh", "leaky_relu", "gelu"):
    oracle(f"MultiLayerNet/{_name}")(lambda name=_name: _multi_layer(name)[0])
for _form in LABEL_FORMS:
    oracle(f"MultiLayerNet/training, {_form}, flat")(
        lambda form=_form: {key: value for part in _multi_layer("relu", form) for key, value in part.items()}
    )


@oracle("MultiLayerNet/inference")
def _multi_layer_inference() -> Results:
    network = MultiLayer("tanh")
    network.scores(given(1, 5, 12), training=True)
    scores = network.scores(given(2, 5, 12), training=False)
    return {"scores": scores, "probabilities": F.softmax(scores, dim=-1), "loss": network.loss(scores)}
