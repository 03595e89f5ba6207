"""What a trainer, an optimizer or a search cannot use is refused at once, and the error says what mends it."""

import numpy as np
import pytest
from small_training import make

from xpnet import SGD, CosineDecay, EarlyStopping, StepDecay, random_search
from xpnet.errors import ArgumentError
from xpnet.search import LogUniform


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"optimizer": SGD}, r"got the class. Use `SGD\(lr=0.01\)`"),
        ({"optimizer": SGD(), "optimizer_param": {"lr": 1.0}}, r"\{'lr': 1.0\} .* SGD\(lr=0.01\) is already made"),
        ({"callbacks": [EarlyStopping]}, r"callbacks must be functions .* Use `EarlyStopping\(\)`"),
        ({"callbacks": EarlyStopping()}, r"Put it into one with `callbacks=\[callback\]`"),
        ({"callbacks": ["stop"]}, "callbacks must be functions of the trainer, got 'stop'"),
        ({"callbacks": 3}, "callbacks must be a list, got 3"),
    ],
)
def test_what_a_trainer_cannot_use_is_refused_at_once(options, says):
    with pytest.raises(ArgumentError, match=says):
        make(validation=0.2, **options)


@pytest.mark.parametrize("rate", [lambda: 0.1, lambda step: None])
def test_a_rate_that_is_no_function_of_the_step(rate):
    with pytest.raises(ArgumentError, match="lr must be a number, or a function of the step"):
        make(optimizer=SGD(rate), iterations=1).train()


def test_a_gradient_that_is_missing_changes_nothing():
    params = {"W": np.ones(2), "b": np.ones(2)}
    with pytest.raises(ArgumentError, match="no gradient for b; gradients were given for W"):
        SGD().update(params, {"W": np.ones(2)})
    assert params["W"].tolist() == [1, 1]


@pytest.mark.parametrize("result", [None, "W", (1, 2)])
def test_a_step_that_does_not_return_what_became_of_its_arrays(result):
    class Wrong(SGD):
        def update_one(self, W, dW, lr):
            return result

    with pytest.raises(ArgumentError, match=r"Wrong.update_one must return W .* `return \(W,\)`"):
        Wrong().update({"W": np.ones(2)}, {"W": np.ones(2)})


@pytest.mark.parametrize(
    ("train", "space", "says"),
    [
        (None, {"lr": LogUniform(0.1, 1)}, "train must be a function"),
        (len, [LogUniform(0.1, 1)], "must be a mapping of names"),
        (len, {"lr": LogUniform}, "lr must be a Uniform, LogUniform or Choice"),
    ],
)
def test_a_search_of_nothing_is_refused_before_it_begins(train, space, says):
    with pytest.raises(ArgumentError, match=says):
        random_search(train, space)


def test_schedules_take_what_a_rate_may_be():
    assert StepDecay("0.5", 10)(0) == 0.5
    assert CosineDecay("0.5", 10)(0) == 0.5
