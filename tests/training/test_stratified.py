"""Validation sets that take the same share of each class."""

import numpy as np
import pytest
from cases import numbers
from small_training import LABELS, PIXELS, affine_net, make

from xpnet import IdentityWithLoss, asarray, split_validation, to_numpy
from xpnet.errors import ArgumentError, ShapeError


def counts(t, classes):
    return np.bincount(to_numpy(t), minlength=classes)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_shares_are_as_near_as_whole_samples_allow(share):
    rng = np.random.default_rng(0)
    for sizes in ([50, 30, 20], [97, 2, 1], [10] * 10, [1, 1, 1, 40], [500, 3], [13]):
        labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
        x = np.arange(len(labels), dtype=float)[:, None]
        (x_train, t_train), (x_val, t_val) = split_validation(x, labels, share, seed=1, stratify=True)
        assert len(t_val) == max(1, round(share * len(labels)))  # as without
        assert sorted([*x_train[:, 0], *x_val[:, 0]]) == x[:, 0].tolist()
        np.testing.assert_array_equal(labels[x_val[:, 0].astype(int)], t_val)
        taken = counts(t_val, len(sizes))
        exact = len(t_val) * np.array(sizes) / len(labels)
        assert (np.abs(taken - exact) <= 1 + np.sum(np.array(sizes) == 1) * (np.array(sizes) > 1)).all()
        assert (counts(t_train, len(sizes)) > 0).all(), "a class that cannot be learned"


@pytest.mark.parametrize(
    ("sizes", "taken"), [([6, 14], [1, 3]), ([14, 6], [3, 1]), ([5, 5, 10], [1, 1, 2]), ([1, 19], [0, 4])]
)
def test_what_is_left_goes_to_the_largest_remainders(sizes, taken):
    """Of 20 samples 4: shares of 1.2 and 2.8, say."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(5):
        _, (_, t_val) = split_validation(numbers(0, 20, 1), labels, 0.2, seed=seed, stratify=True)
        assert counts(t_val, len(sizes)).tolist() == taken


def test_it_is_scikit_learns_where_shares_are_whole():
    sklearn = pytest.importorskip("sklearn.model_selection")
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [40, 20, 10, 30]))
    x = np.arange(100.0)[:, None]
    _, (_, t_val) = split_validation(x, labels, 0.2, seed=0, stratify=True)
    _, theirs = sklearn.train_test_split(labels, test_size=0.2, stratify=labels, random_state=0)
    assert counts(t_val, 4).tolist() == counts(theirs, 4).tolist() == [8, 4, 2, 6]


def test_every_class_of_two_samples_or_more_is_in_both_where_there_is_room():
    labels = np.repeat(np.arange(7), 5)
    for seed in range(20):
        (_, t_train), (_, t_val) = split_validation(numbers(0, 35, 2), labels, 0.2, seed=seed, stratify=True)
        assert counts(t_val, 7).tolist() == [1] * 7
        assert counts(t_train, 7).tolist() == [4] * 7


def test_more_is_held_out_than_would_leave_each_class_one():
    _, (_, t_val) = split_validation(numbers(0, 6, 2), np.array([0, 1, 2, 3, 4, 4]), 0.8, seed=0, stratify=True)
    assert len(t_val) == 5


def test_the_samples_are_drawn_at_random_and_the_same_on_every_backend(be):
    x, t = numbers(0, 40, 3), np.tile(np.arange(4), 10)
    held_out = [
        to_numpy(split_validation(be.put(x), asarray(t, backend=be.backend), 0.3, seed=seed, stratify=True)[1][0])
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(held_out[0], held_out[1])
    assert not np.array_equal(held_out[0], held_out[2])
    expected = split_validation(x.astype(be.dtype), t, 0.3, seed=0, stratify=True)[1][0]
    np.testing.assert_array_equal(held_out[0], expected)


def test_words_and_generators():
    words = np.array(list("abbccc"))[np.tile(np.arange(6), 5)]
    rng = np.random.default_rng(3)
    first, second = (split_validation(numbers(0, 30, 1), words, 0.2, seed=rng, stratify=True)[1] for _ in range(2))
    assert sorted(first[1].tolist()) == sorted(second[1].tolist()) == list("abbccc")
    assert not np.array_equal(first[0], second[0])


def test_a_trainer_takes_the_same_share_of_each_class():
    labels = np.repeat(np.arange(5), 5)
    trainer = make(t=labels, validation=0.2)
    assert counts(trainer.validation.t, 7).tolist() == [1, 1, 1, 1, 1, 0, 0]
    soft = make(t=np.full((25, 7), 1 / 7), validation=0.2)
    assert soft.validation.t.shape == (5, 7)
    one_hot = make(t=np.eye(7)[labels], validation=0.2)
    np.testing.assert_array_equal(one_hot.validation.t, trainer.validation.t)


def test_targets_of_a_regression_are_drawn_plainly():
    trainer = make(affine_net(IdentityWithLoss(), 1), t=numbers(4, 25), x=numbers(3, 25, 12), validation=0.2)
    assert len(trainer.validation.t) == 5


@pytest.mark.parametrize(("t", "stratify", "error", "says"), [
    (np.eye(7)[LABELS], True, ShapeError, r"stratify=True needs labels of shape \(N,\), got \(25, 7\)"),
    (LABELS, "yes", ArgumentError, "stratify must be True or False, got 'yes'"),
    (LABELS, LABELS, ArgumentError, "stratify must be True or False"),
])  # fmt: skip
def test_what_makes_no_sense(t, stratify, error, says):
    with pytest.raises(error, match=says):
        split_validation(PIXELS, t, 0.2, stratify=stratify)
