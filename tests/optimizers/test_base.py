"""What all optimizers have in common: decay and clipping, one buffer or names, what is kept, options and arguments."""

import copy
import pickle

import numpy as np
import pytest
from optimizer_cases import ALL, EVERYTHING, draw, each_optimizer, flat, put, same_bits

from xpnet import TwoLayerNet, asarray, to_numpy
from xpnet._core.arrays import dtype_name
from xpnet.backend import backend_of
from xpnet.errors import ArgumentError, ShapeError
from xpnet.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop, make_optimizer
from xpnet.optimizers.schedules import StepDecay


def test_the_defaults_are_the_courses_and_the_papers():
    assert [optimizer().lr for optimizer in ALL] == [0.01, 0.01, 0.01, 0.01, 0.01, 0.001, 0.001]
    assert Momentum().momentum == Nesterov().momentum == 0.9
    assert (RMSprop().decay_rate, RMSprop().eps, AdaGrad().eps) == (0.99, 1e-7, 1e-7)
    assert (Adam().beta1, Adam().beta2, Adam().eps) == (0.9, 0.999, 1e-8)
    assert [optimizer().weight_decay for optimizer in ALL] == [0, 0, 0, 0, 0, 0, 0.01]
    assert {optimizer().max_norm for optimizer in ALL} == {None}


# --- decay and clipping ---------------------------------------------------------------------------------------------


@each_optimizer
def test_weights_decay_by_the_rate_of_each_step(be, kind):
    optimizer, (start,) = kind(StepDecay(0.5, 2, 0.5), weight_decay=0.2), draw(0)
    params, nothing = put(be, start), put(be, {key: 0 * value for key, value in start.items()})
    for _ in range(4):
        optimizer.update(params, nothing)
    for key, W in start.items():
        be.check(params[key], W * (1 - 0.5 * 0.2) ** 2 * (1 - 0.25 * 0.2) ** 2, name=key)


@each_optimizer
@pytest.mark.parametrize("length", [0.5, 1.0, 5.0, 1e8])
def test_gradients_are_clipped_all_together(be, kind, length):
    """As if they had come with the norm that is allowed; no parameter decays meanwhile."""
    (start, grads) = draw(0, 2)
    norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
    grads = {key: g * length / norm for key, g in grads.items()}
    allowed = {key: g * min(1.0, 1.0 / (length + 1e-6)) for key, g in grads.items()}
    clipped, free = put(be, start), put(be, start)
    kind(0.5, max_norm=1.0, weight_decay=0.0).update(clipped, put(be, grads))
    kind(0.5, weight_decay=0.0).update(free, put(be, allowed))
    for key in start:
        be.check(clipped[key], to_numpy(free[key]), name=key)


def test_gradients_within_the_norm_are_left_as_they_are(be):
    (start, grads) = draw(0, 2)
    clipped, free = put(be, start), put(be, start)
    SGD(0.1, max_norm=100.0).update(clipped, put(be, grads))
    SGD(0.1).update(free, put(be, grads))
    assert all(same_bits(clipped[key], free[key]) for key in start)


def test_gradients_of_0_are_clipped_to_0(be):
    params = {"W": be.put(np.ones(3))}
    SGD(0.1, max_norm=1.0).update(params, {"W": be.put(np.zeros(3))})
    be.check(params["W"], np.ones(3), eps=0)


@each_optimizer
def test_gradients_are_only_read(be, kind):
    optimizer, (start, grads) = kind(0.1, **EVERYTHING), draw(0, 2)
    params, given = put(be, start), put(be, grads)
    arrays = dict(given)
    for _ in range(3):
        optimizer.update(params, given)
    for key, grad in grads.items():
        assert given[key] is arrays[key]
        be.check(given[key], grad, eps=0, name=key)


@each_optimizer
def test_arrays_that_can_be_are_changed_in_place(kind):
    optimizer, (start, grads) = kind(0.1, **EVERYTHING), draw(0, 2)
    params = dict(start)
    optimizer.prepare(params)
    slots = [dict(getattr(optimizer, slot)) for slot in optimizer.slots]
    for _ in range(2):
        optimizer.update(params, grads)
    for key, array in start.items():
        assert params[key] is array
        for slot, before in zip(optimizer.slots, slots, strict=True):
            assert getattr(optimizer, slot)[key] is before[key]


# --- by name, and in one buffer -------------------------------------------------------------------------------------


@each_optimizer
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_one_buffer_trains_as_arrays_by_name(be, kind, options):
    (start,), grads = draw(0), draw(1, 10)
    by_name, buffer = put(be, start), put(be, flat(start))
    ours, theirs = kind(0.05, **options), kind(0.05, **options)
    for g in grads:
        ours.update(by_name, put(be, g))
        theirs.update(buffer, put(be, flat(g)))
    be.check(buffer["all"], flat({key: to_numpy(value) for key, value in by_name.items()})["all"])


@each_optimizer
def test_a_network_trains_alike_on_every_backend_flat_or_not(be, kind):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((8, 5)), rng.integers(0, 3, 8)
    networks = [TwoLayerNet(5, 4, 3, 0.5, seed=0, dtype=be.dtype, backend=b) for b in (be.backend, be.backend, "numpy")]
    networks[1].state.flatten()
    for network in networks:
        # Far from 0 the derivatives of an adaptive step by its gradient are moderate.
        optimizer = kind(0.01, max_norm=0.5, **({} if kind in (SGD, Momentum, Nesterov) else {"eps": 0.1}))
        x_here, t_here = asarray(x, like=network.state.like, dtype=be.dtype), network.asarray(t)
        for _ in range(10):
            network.compute_gradients(x_here, t_here)
            optimizer.update(*network.state.optimizer_view())
    for network in networks[:2]:
        for key, expected in networks[2].params.items():
            be.check(network.params[key], expected, eps=64, name=key)


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_slots_begin_at_0_and_are_made_once(be):
    optimizer, (start,) = Adam(), draw(0)
    params = put(be, start)
    optimizer.prepare(params)
    made = [dict(optimizer.m), dict(optimizer.v)]
    for key, W in start.items():
        be.check(optimizer.m[key], 0 * W, eps=0)
        be.check(optimizer.v[key], 0 * W, eps=0)
    optimizer.prepare(params)
    assert all(optimizer.m[key] is made[0][key] and optimizer.v[key] is made[1][key] for key in start)


def test_slots_move_with_the_parameters(be):
    (start, grads) = draw(0, 2)
    optimizer = Momentum(0.1)
    optimizer.update(dict(start), grads)
    velocity = {key: value.copy() for key, value in optimizer.v.items()}
    optimizer.prepare(put(be, start))
    for key, expected in velocity.items():
        be.check(optimizer.v[key], expected, eps=1, name=key)
        assert backend_of(optimizer.v[key]).xp is be.xp
        assert dtype_name(optimizer.v[key]) == be.dtype


def test_an_optimizer_of_another_network_is_refused():
    optimizer, params = Adam(), {"W1": np.ones((2, 3))}
    optimizer.update(params, {"W1": np.ones((2, 3))})
    with pytest.raises(ShapeError, match=r"W1 has shape \(3, 2\), but this Adam keeps .* \(2, 3\), from another"):
        optimizer.update({"W1": np.ones((3, 2))}, {"W1": np.ones((3, 2))})
    assert optimizer.iter == 1


@pytest.mark.bits
@each_optimizer
def test_a_copy_goes_on_as_the_original(kind):
    (start,), grads = draw(0), draw(1, 6)
    original, params = kind(StepDecay(0.1, 2), **EVERYTHING), copy.deepcopy(start)
    for g in grads[:3]:
        original.update(params, g)
    for twin in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        ours, theirs, first = copy.deepcopy(params), copy.deepcopy(params), copy.deepcopy(original)
        for g in grads[3:]:
            first.update(ours, g)
            twin.update(theirs, g)
        assert all(same_bits(ours[key], theirs[key]) for key in start)


# --- names and arguments --------------------------------------------------------------------------------------------


@each_optimizer
def test_each_is_made_by_its_name_in_any_case(kind):
    for name in (kind.__name__, kind.__name__.lower(), kind.__name__.upper()):
        made = make_optimizer(name, {"lr": 0.25, "max_norm": 2})
        assert (type(made), made.lr, made.max_norm) == (kind, 0.25, 2.0)
    assert make_optimizer(made, {}) is made


def test_an_unknown_name_is_answered_with_all():
    with pytest.raises(ArgumentError, match="no optimizer 'adamm'") as told:
        make_optimizer("adamm", {})
    assert all(repr(kind.__name__) in str(told.value) for kind in ALL)
    with pytest.raises(ArgumentError, match="RMSprop takes no argument `momentum`; it takes lr, decay_rate, eps,"):
        make_optimizer("rmsprop", {"momentum": 0.9})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *((lambda kind=kind: kind(0), "lr must be a finite number above 0, got 0") for kind in ALL),
        *((lambda kind=kind: kind(lr="fast"), "lr must be a finite number above 0, got 'fast'") for kind in ALL),
        *(
            (lambda kind=kind: kind(weight_decay=-0.1), "weight_decay must be a finite number of at least 0, got -0.1")
            for kind in ALL
        ),
        *((lambda kind=kind: kind(max_norm=0), "max_norm must be a finite number above 0, got 0") for kind in ALL),
        *((lambda kind=kind: kind(eps=0), "eps must be a finite number above 0, got 0") for kind in ALL[3:]),
        (lambda: Momentum(momentum=1), "momentum must be a number from 0 up to, but not, 1, got 1"),
        (lambda: Nesterov(momentum=-0.1), "momentum must be a number from 0 up to, but not, 1, got -0.1"),
        (lambda: RMSprop(decay_rate=1.0), "decay_rate must be"),
        (lambda: Adam(beta1=1.0), "beta1 must be"),
        (lambda: Adam(beta2=float("nan")), "beta2 must be a number .* got nan"),
        (lambda: AdamW(beta2=None), "beta2 must be a number .* got None"),
    ],
)
def test_an_argument_out_of_its_range_is_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_momentum_and_betas_may_be_0():
    params = {"W": np.array([1.0, -1.0])}
    for optimizer in (Momentum(0.1, 0), Nesterov(0.1, 0), RMSprop(0.1, 0), Adam(0.1, 0, 0)):
        optimizer.update(params, {"W": np.array([1.0, -1.0])})
    np.testing.assert_allclose(params["W"], [0.6, -0.6], rtol=1e-6)


@pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf")])
def test_a_function_that_gives_no_rate_is_told_so(rate):
    optimizer, params = Adam(lambda step: 0.1 if step < 2 else rate), {"W": np.ones(2)}
    for _ in range(2):
        optimizer.update(params, {"W": np.ones(2)})
    with pytest.raises(ArgumentError, match=f"lr must give a finite rate of at least 0 .*, got {rate} at step 2"):
        optimizer.update(params, {"W": np.ones(2)})
    with pytest.raises(ArgumentError, match="at step 2"):
        optimizer.step_scalars(0, 5)


class Halved(SGD):
    """Somebody's own."""


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (SGD(), "SGD(lr=0.01)"),
        (Adam(0.001), "Adam(lr=0.001)"),
        (AdamW(), "AdamW(lr=0.001)"),
        (AdamW(weight_decay=0), "AdamW(lr=0.001, weight_decay=0)"),
        (Adam(0.1, beta2=0.99, eps=1e-6), "Adam(lr=0.1, beta2=0.99, eps=1e-06)"),
        (Nesterov(0.1, 0.5, max_norm=1), "Nesterov(lr=0.1, momentum=0.5, max_norm=1)"),
        (RMSprop(StepDecay(0.1, 10)), "RMSprop(lr=StepDecay(lr=0.1, every=10, factor=0.1))"),
        (Halved(0.1), "Halved(lr=0.1)"),
    ],
)
def test_it_says_what_it_is(optimizer, text):
    assert repr(optimizer) == text
