"""An optimizer belongs to one network: what it keeps is not carried on to another one, and goes on with copies."""

import copy
import pickle
import re

import numpy as np
import pytest
from optimizer_cases import each_optimizer, same_bits
from small_training import LABELS, PIXELS, make

from xpnet import Affine, TwoLayerNet, random_search, with_new_head
from xpnet.errors import ArgumentError
from xpnet.optimizers import SGD, Adam, Momentum
from xpnet.optimizers.schedules import CosineDecay
from xpnet.search import Uniform


def network(seed=0, **options):
    return TwoLayerNet(12, 6, 7, "he", seed=seed, **options)


def trained(optimizer, net=None, **options):
    net = net or network()
    make(net, optimizer=optimizer, epochs=1, **options).train()
    return net


@each_optimizer
@pytest.mark.parametrize("capture", [True, False])
def test_another_network_is_refused_when_the_trainer_is_made(kind, capture):
    optimizer = kind(CosineDecay(0.01, 30))
    trained(optimizer, capture=capture)
    with pytest.raises(ArgumentError, match=rf"This {kind.__name__} belongs to another network.* 3 steps\. Make an"):
        make(network(1), optimizer=optimizer)
    assert optimizer.iter == 3


def test_it_is_refused_on_every_backend(be):
    optimizer = Adam(0.01)
    options = {"dtype": be.dtype, "backend": be.backend}
    trained(optimizer, network(**options))
    with pytest.raises(ArgumentError, match="belongs to another network"):
        make(network(**options), optimizer=optimizer)


@pytest.mark.bits
def test_two_trainers_made_before_either_trains():
    """The first one that trains has it."""
    optimizer = Adam(0.01)
    first, second = make(network(0), optimizer=optimizer, epochs=1), make(network(1), optimizer=optimizer, epochs=1)
    first.train()
    before = {key: value.copy() for key, value in second.network.params.items()}
    with pytest.raises(ArgumentError, match="belongs to another network"):
        second.train()
    assert all(same_bits(second.network.params[key], value) for key, value in before.items())
    assert optimizer.iter == 3
    first.train()


def test_one_assigned_to_a_trainer_is_refused_too():
    optimizer, trainer = Adam(0.01), make(network(1), epochs=1)
    trained(optimizer)
    with pytest.raises(ArgumentError, match="belongs to another network"):
        trainer.optimizer = optimizer


@pytest.mark.parametrize("flat", [True, False])
def test_by_hand(flat):
    optimizer, nets = Momentum(0.01), [network(0), network(1)]
    for net in nets:
        net.state.flatten() if flat else None
    x = PIXELS[:4] / np.float32(255)
    for _ in range(2):
        optimizer.update(nets[0].params, nets[0].gradient(x, LABELS[:4]))
    with pytest.raises(ArgumentError, match="belongs to another network, and would continue .* of 2 steps"):
        optimizer.update(nets[1].params, nets[1].gradient(x, LABELS[:4]))
    optimizer.update(nets[0].params, nets[0].gradient(x, LABELS[:4]))
    assert optimizer.iter == 3


def test_the_same_network_goes_on():
    """In another Trainer, moved, with another optimizer in between."""
    optimizer, other, net = Adam(0.01), SGD(0.01), network()
    for _ in range(2):
        trained(optimizer, net)
        trained(other, net)
    trained(optimizer, net.to(dtype="float64"))
    trained(optimizer, net.to("array_api_strict"))
    assert optimizer.iter == 12


@pytest.mark.bits
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair)), lambda pair: [copy.deepcopy(one) for one in pair],
     lambda pair: [pickle.loads(pickle.dumps(one)) for one in pair], lambda pair: (pair[0].copy(), pair[1])],
    ids=["deepcopy of both", "pickle of both", "deepcopy of each", "pickle of each", "copy of the network"],
)  # fmt: skip
def test_copies_of_both_go_on_to_the_same_bits(copied):
    optimizer, net = Adam(CosineDecay(0.05, 20)), network()
    trained(optimizer, net)
    ours, theirs = copied((net, optimizer))
    trained(theirs, ours)
    assert theirs.iter == 6
    if theirs is not optimizer:
        trained(optimizer, net)
        assert all(same_bits(ours.params[key], value) for key, value in net.params.items())


def test_only_one_of_several_copies_goes_on_with_the_optimizer():
    """Folds from one pretrained network: the second would begin with what the first has left in the slots."""
    optimizer, pretrained = Adam(0.01), network()
    trained(optimizer, pretrained)
    folds = [pretrained.copy() for _ in range(2)]
    trained(optimizer, folds[0])
    for net in (folds[1], pretrained):
        with pytest.raises(ArgumentError, match=r"copy.deepcopy\(\(network, optimizer\)\)"):
            make(net, optimizer=optimizer)


def test_an_earlier_copy_of_the_optimizer_does_not_go_on_with_a_later_network():
    optimizer, net = Adam(0.01), network()
    trained(optimizer, net)
    later, optimizer_of_it = net.copy(), copy.deepcopy(optimizer)
    trained(optimizer_of_it, later)
    with pytest.raises(ArgumentError, match="belongs to another network"):
        make(later, optimizer=optimizer)
    trained(optimizer, net)


def test_one_that_has_made_no_step_is_free():
    optimizer, trainer = SGD(CosineDecay(0.1, 30)), make(network())
    trainer.optimizer = optimizer
    trainer.train_step = lambda x, t: 1 / 0
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    trained(optimizer, network(1))


def test_a_network_with_another_head_is_another_network():
    optimizer, net = SGD(CosineDecay(0.1, 3)), network()
    trained(optimizer, net)
    head = with_new_head(net, [Affine.create(6, 7, "he", rng=0, backend="numpy")], keep="Relu1")
    with pytest.raises(ArgumentError, match="belongs to another network"):
        make(head, optimizer=optimizer)


def test_freezing_leaves_the_network_its_optimizer():
    optimizer, net = SGD(CosineDecay(0.1, 30)), network()
    trained(optimizer, net)
    trained(optimizer, net.freeze("Affine1"))
    assert optimizer.iter == 6


def test_a_search_says_which_trials_shared_an_optimizer():
    optimizer = Adam(CosineDecay(0.05, 3))

    def train(unused):
        return make(network(), optimizer=optimizer, epochs=1, validation=0.2).train()

    with pytest.warns(UserWarning, match="Trial [23] failed, .*This Adam belongs to another network") as said:
        result = random_search(train, {"unused": Uniform(0, 1)}, trials=3, seed=0, verbose=False)
    assert len(said) == 2
    assert [bool(trial.error) for trial in result.trials] == [False, True, True]


def test_trials_of_a_search_have_copies_of_what_they_draw():
    """So that an optimizer among the choices is a fresh one each time."""
    from xpnet.search import Choice

    shared = Adam(CosineDecay(0.05, 3))

    def train(optimizer):
        return make(network(), optimizer=optimizer, epochs=1, validation=0.2).train()

    result = random_search(train, {"optimizer": Choice([shared])}, trials=3, seed=0, verbose=False)
    assert len({trial.history.loss[-1] for trial in result.trials}) == 1
    assert shared.iter == 0


def test_a_schedule_that_is_over_is_said():
    optimizer, net = SGD(CosineDecay(0.1, 3)), network()
    trained(optimizer, net)
    trainer = make(net, optimizer=optimizer, epochs=1)
    with pytest.warns(UserWarning, match=r"The learning rate of SGD\(.* is 0 at each of the next 3 steps") as said:
        trainer.train()
    assert len(said) == 1
    exec(re.findall("`(.*)`", str(said[0].message))[0], {"trainer": trainer})
    trainer.train()
    trained(SGD(lambda step: 0.1 * step), net)  # a warm-up from 0


class CourseMomentum:
    """The course's, which knows parameters by their names alone."""

    def __init__(self):
        self.v = None

    def update(self, params, grads):
        self.v = self.v or {key: np.zeros_like(value) for key, value in params.items()}
        for key in params:
            self.v[key] = 0.9 * self.v[key] - 0.01 * grads[key]
            params[key] += self.v[key]


def test_an_optimizer_of_ones_own_belongs_to_one_network_too():
    optimizer, net = CourseMomentum(), network()
    trained(optimizer, net, capture=False)
    trained(optimizer, net, capture=False)
    with pytest.raises(ArgumentError, match=r"This CourseMomentum belongs to another .*`optimizer = CourseMomentum\("):
        make(network(1), optimizer=optimizer)


def test_an_optimizer_without_attributes_is_taken_as_it_is():
    class Slotted:
        __slots__ = ()

        def update(self, params, grads):
            for key in params:
                params[key] -= 0.01 * grads[key]

    for seed in (0, 1):
        trained(Slotted(), network(seed), capture=False)


def test_dictionaries_are_known_by_their_names():
    """As in the course, where each call may bring another dictionary of the same parameters."""
    optimizer, position = Momentum(0.1), {"x": np.array([1.0])}
    optimizer.update(position, {"x": np.array([1.0])})
    optimizer.update({"x": position["x"].copy()}, {"x": np.array([1.0])})
    assert optimizer.iter == 2
    np.testing.assert_allclose(optimizer.v["x"], [1.9])
