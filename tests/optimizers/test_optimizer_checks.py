"""Optimizers: attributes that make no sense, gradients that would ruin what is kept, and gradients that are large."""

import numpy as np
import pytest
from optimizer_cases import ALL, each_optimizer
from small_training import make

from xpnet import TwoLayerNet, to_numpy
from xpnet.errors import ArgumentError, DataError, DtypeError, ShapeError
from xpnet.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop, make_optimizer
from xpnet.optimizers.base import clipped
from xpnet.optimizers.schedules import CosineDecay, StepDecay

ADAPTIVE = [AdaGrad, RMSprop, Adam, AdamW]

# --- attributes -----------------------------------------------------------------------------------------------------

NONSENSE = {
    "lr": [0, -1, float("nan"), float("inf"), "fast", None, CosineDecay],
    "weight_decay": [-0.1, float("nan"), "much", None],
    "max_norm": [0, -1, float("inf"), "some"],
    "iter": [-1, 1.5, "1", None, True],
    "momentum": [-0.1, 1, float("nan"), None],
    "decay_rate": [-0.1, 1, "a"],
    "beta1": [-0.1, 1, None],
    "beta2": [-0.1, 1.5, None],
    "eps": [0, -1e-8, float("nan"), "a"],
}


@each_optimizer
def test_an_attribute_is_checked_when_it_is_assigned(kind):
    optimizer = kind(0.1)
    checked = [name for name in NONSENSE if hasattr(optimizer, name)]
    assert set(kind.checks) == set(checked)
    for name in checked:
        before = getattr(optimizer, name)
        for value in NONSENSE[name]:
            with pytest.raises(ArgumentError, match=f"^{name} must be"):
                setattr(optimizer, name, value)
            assert getattr(optimizer, name) == before


def test_what_is_assigned_takes_effect():
    optimizer, params = Momentum(0.1), {"W": np.array([1.0])}
    optimizer.lr, optimizer.momentum, optimizer.weight_decay, optimizer.max_norm = np.float32(0.5), 0, 0.1, 2
    optimizer.update(params, {"W": np.array([8.0])})
    np.testing.assert_allclose(params["W"], 1 - 0.5 * 0.1 - 0.5 * 2, rtol=1e-5)
    optimizer.lr, optimizer.iter = StepDecay(0.5, 10), 10
    optimizer.update(params, {"W": np.array([1.0])})
    np.testing.assert_allclose(params["W"], -0.05 * (1 - 0.05 * 0.1) - 0.05, rtol=1e-5)
    assert type(optimizer.max_norm) is float
    optimizer.max_norm = None


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_unknown_argument_is_named_with_those_that_there_are(kind):
    with pytest.raises(ArgumentError, match=f"^{kind.__name__} takes no argument `rho`; it takes lr, .*max_norm"):
        make_optimizer(kind.__name__, {"rho": 0.9})
    with pytest.raises(TypeError, match=rf"^{'Adam' if kind is Adam else kind.__name__}|Momentum"):
        kind(rho=0.9)


def test_a_schedule_that_remembers_is_refused():
    rates = iter([0.1, 0.2, 0.3, 0.4])
    optimizer, params = SGD(lambda step: next(rates)), {"W": np.ones(2)}
    with pytest.raises(ArgumentError, match="<lambda> gives different rates for step 0"):
        optimizer.update(params, {"W": np.ones(2)})
    assert (params["W"] == 1).all()


# --- gradients by hand ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL[1:], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(kind, bad):
    optimizer, params = kind(0.1, weight_decay=0.1), {"W": np.ones(3), "b": np.zeros(2)}
    optimizer.update(params, {"W": np.ones(3), "b": np.ones(2)})
    before = {key: value.copy() for key, value in params.items()}
    slots = {slot: {key: value.copy() for key, value in getattr(optimizer, slot).items()} for slot in optimizer.slots}
    with pytest.raises(DataError, match="The gradient of b has a value that is not finite, so no step is made"):
        optimizer.update(params, {"W": np.ones(3), "b": np.array([1.0, bad])})
    assert optimizer.iter == 1
    for key, value in before.items():
        np.testing.assert_array_equal(params[key], value)
        for slot in optimizer.slots:
            np.testing.assert_array_equal(getattr(optimizer, slot)[key], slots[slot][key])


@pytest.mark.parametrize("kind", ADAPTIVE, ids=lambda kind: kind.__name__)
def test_a_gradient_whose_square_overflows_is_refused_and_the_remedy_works(kind):
    """An infinite square in a slot would stop that parameter for good, without a word."""
    params, grads = {"W": np.ones(2, "float32")}, {"W": np.array([1e20, 1.0], "float32")}
    with pytest.raises(DataError, match=r"value of 1e\+20, whose square overflows in float32.*`max_norm=1.0`"):
        kind(0.1).update(params, grads)
    assert (params["W"] == 1).all()
    optimizer = kind(0.1, max_norm=1.0)
    for _ in range(3):
        optimizer.update(params, grads)
    assert all(np.isfinite(array).all() for slot in optimizer.slots for array in getattr(optimizer, slot).values())
    assert params["W"][0] < 0.9


@pytest.mark.parametrize("kind", [SGD, Momentum, Nesterov], ids=lambda kind: kind.__name__)
def test_a_large_gradient_that_is_not_squared_makes_its_step(kind):
    params = {"W": np.ones(1, "float32")}
    kind(1e-20).update(params, {"W": np.array([1e20], "float32")})
    assert params["W"][0] < 0.5


@each_optimizer
@pytest.mark.parametrize("dtype", ["float16", "int64", "complex64", "uint8"])
def test_parameters_of_another_dtype_are_refused(kind, dtype):
    params = {"W": np.ones(2, dtype)}
    with pytest.raises(DtypeError, match=f"W is {dtype}, but {kind.__name__} updates float32 and float64 arrays"):
        kind(0.1).update(params, {"W": np.ones(2, "float32")})


@each_optimizer
@pytest.mark.parametrize("shape", [(), (1,), (1, 2), (3, 1), (2, 3)])
def test_a_gradient_of_another_shape_is_refused_and_not_broadcast(kind, shape):
    params = {"W": np.ones((3, 2))}
    with pytest.raises(ShapeError, match=r"W has shape \(3, 2\), but its gradient has shape"):
        kind(0.1).update(params, {"W": np.ones(shape)})
    assert (params["W"] == 1).all()


def test_numbers_as_parameters_as_in_the_course():
    params = {"x": -7.0, "y": 2.0}
    SGD(0.1).update(params, {"x": 1.0, "y": -1.0})
    assert params == {"x": -7.1, "y": 2.1}


# --- in a Trainer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ADAPTIVE, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("capture", [True, False])
def test_a_training_ends_where_a_slot_overflows(kind, capture):
    """The parameters stay finite: only the slot shows that some of them have stopped for good."""
    x = np.random.default_rng(0).standard_normal((25, 12)).astype("float32")
    x[13] *= 1e22
    network = TwoLayerNet(12, 6, 7, 1.0, seed=0)
    network.params["W1"] *= np.float32(1e-24)
    trainer = make(network, x, optimizer=kind(1e-12), epochs=2, capture=capture)
    with pytest.warns(UserWarning, match=rf"iteration \d, where the update of {kind.__name__}\.[hv] is not finite"):
        trainer.train()
    kept = [array for slot in trainer.optimizer.slots for array in getattr(trainer.optimizer, slot).values()]
    assert all(np.isfinite(array).all() for array in [*kept, *network.params.values()])


# --- max_norm -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("largest", [1.0, 1e5, 1e18, 1e20, 1e25])
def test_large_gradients_are_scaled_to_the_norm(be, max_norm, largest):
    """The norm in float64 of NumPy's is the oracle."""
    grads = {"W": np.array([[3.0, -4.0], [0.5, 0.0]]) * largest, "b": np.array([12.0]) * largest}
    ours = clipped({key: be.put(g) for key, g in grads.items()}, max_norm)
    norm = np.sqrt(sum(np.sum(g.astype("float64") ** 2) for g in grads.values()))
    for key, g in grads.items():
        be.check(ours[key], g * min(1.0, max_norm / (norm + 1e-6)), name=key)


def test_a_norm_that_is_infinite_is_seen():
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(clipped({"W": np.array([3e38, 1.0], "float32")}, 1e-3)["W"]).all()


def test_small_gradients_keep_their_bits():
    for scale in (1e-38, 1e-20, 1e-8, 1e-3):
        g = {"W": (np.random.default_rng(0).standard_normal(50) * scale).astype("float32")}
        assert clipped(g, 1.0)["W"].tobytes() == g["W"].tobytes()
    with np.errstate(all="raise", under="ignore"):
        assert to_numpy(clipped({"W": np.zeros(3, "float32")}, 1e30)["W"]).tolist() == [0, 0, 0]
