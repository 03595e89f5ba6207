"""The steps of an epoch: their order, and their number."""

from collections import Counter

import numpy as np
import pytest
from small_training import batches, make


def test_shuffle_takes_each_sample_once_an_epoch_and_keeps_the_short_last_batch():
    seen = batches(make(epochs=3))
    assert [len(batch) for batch in seen] == [10, 10, 5] * 3
    epochs = [sum(seen[i : i + 3], []) for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(25)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_choice_draws_whole_batches_with_replacement():
    seen = batches(make(epochs=40, sampling="choice"))
    assert [len(batch) for batch in seen] == [10] * 120
    assert any(len(set(batch)) < 10 for batch in seen)
    counts = Counter(sum(seen, []))
    assert set(counts) == set(range(25))
    assert max(counts.values()) < 90  # 48 expected, with a deviation of 7


def test_iterations_win_over_epochs_and_may_end_within_an_epoch():
    trainer = make(epochs=9, iterations=4)
    history = trainer.train()
    assert len(history.loss) == 4
    assert history.evaluated_at == [0, 3, 4]
    assert len(make(epochs=2).train().loss) == 6


@pytest.mark.parametrize("batch", [1, 7, 25, 100])
def test_any_batch_size(batch):
    history = make(mini_batch_size=batch, epochs=2).train()
    assert len(history.loss) == 2 * -(-25 // batch)
    assert np.isfinite(history.loss).all()


@pytest.mark.bits
def test_train_again_goes_on():
    twice = make(epochs=2)
    twice.train()
    twice.train()
    once = make(epochs=4).train()
    assert twice.train_loss_list == once.loss
    assert twice.history.evaluated_at == once.evaluated_at == [0, 3, 6, 9, 12]
    assert twice.history.elapsed_seconds == sorted(twice.history.elapsed_seconds)


@pytest.mark.bits
@pytest.mark.parametrize("at_once", [1, 12 * 10, 12 * 30, 2**18])
def test_how_many_minibatches_are_gathered_at_once_changes_nothing(monkeypatch, at_once):
    monkeypatch.setattr("xpnet._core.tuning.MAX_CPU_GATHERED_NUMBERS", at_once)
    trainer = make(epochs=3, iterations=8)
    assert [len(batch) for batch in batches(trainer)] == [10, 10, 5, 10, 10, 5, 10, 10]
    expected = make(epochs=3, iterations=8)
    monkeypatch.setattr("xpnet._core.tuning.MAX_CPU_GATHERED_NUMBERS", 1)
    assert trainer.train_loss_list == expected.train().loss
