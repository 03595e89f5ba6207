"""The training loop: what it samples, what it records, what it shows."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from cases import numbers, two_layer

from xpnet import SGD, IdentityWithLoss, Sigmoid, SimpleNetwork, Trainer, TwoLayerNet, asarray, load_digits, to_numpy

PIXELS = np.random.default_rng(0).integers(0, 256, (25, 12), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, 7, 25)


def make(network=None, x=PIXELS, t=LABELS, **options):
    options = {"mini_batch_size": 10, "verbose": False, "seed": 0, "optimizer_param": {"lr": 0.1}} | options
    return Trainer(network or TwoLayerNet(12, 6, 7, seed=0), x, t, x[:5], t[:5], **options)


def batches(trainer):
    """The indices of each step that a trainer makes."""
    seen, step = [], trainer.train_step

    def watched(indices):
        seen.append(to_numpy(indices).tolist())
        return step(indices)

    trainer.train_step = watched
    trainer.train()
    return seen


# --- what is sampled ------------------------------------------------------------------------------------------------


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
    assert history.iterations == [0, 3, 4]
    assert len(make(epochs=2).train().loss) == 6


@pytest.mark.parametrize("batch", [1, 7, 25, 100])
def test_any_batch_size(batch):
    history = make(mini_batch_size=batch, epochs=2).train()
    assert len(history.loss) == 2 * -(-25 // batch)
    assert np.isfinite(history.loss).all()


def test_the_same_seed_gives_the_same_batches_on_every_backend(be):
    network = TwoLayerNet(12, 6, 7, seed=0, dtype=be.dtype, backend=be.backend)
    assert batches(make(network, epochs=2)) == batches(make(epochs=2))
    assert batches(make(epochs=1, seed=1)) != batches(make(epochs=1, seed=2))


def test_weights_and_order_come_from_independent_streams():
    network = TwoLayerNet(12, 6, 7, seed=0)
    first = np.random.default_rng(np.random.SeedSequence(0).spawn(3)[0]).standard_normal((12, 6))
    assert np.allclose(network.params["W1"], 0.01 * first)
    order = np.random.default_rng(np.random.SeedSequence(0).spawn(3)[1]).permutation(25)
    assert sum(batches(make(epochs=1)), []) == order.tolist()


# --- what is computed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["shuffle", "choice"])
def test_training_equals_the_courses_loop(be, sampling):
    """A loop of ``gradient`` and ``params[key] -= lr * grads[key]`` over the same batches, by hand."""
    network = TwoLayerNet(12, 6, 7, 0.5, seed=0, dtype=be.dtype, backend=be.backend)
    by_hand = network.copy()
    trainer = make(network, epochs=2, sampling=sampling)
    losses = []
    for indices in batches(trainer):
        x, t = be.put(PIXELS[indices]), be.put(LABELS[indices])
        losses.append(float(by_hand.loss(x, t)))
        grads = by_hand.gradient(x, t)
        for key in grads:
            by_hand.params[key] -= 0.1 * grads[key]
    for key in network.params:
        be.check(network.params[key], to_numpy(by_hand.params[key]).astype("float64"))
    np.testing.assert_allclose(trainer.train_loss_list, losses, rtol=1e-5)
    assert {type(loss) for loss in trainer.train_loss_list} == {float}


def test_every_form_of_the_data_trains_alike():
    """Pixels or floats, index or one-hot labels, arrays here or elsewhere."""
    expected = make(epochs=2).train()
    floats = PIXELS.astype("float32") * np.float32(1 / 255)
    forms = [
        (floats, LABELS),
        (floats.astype("float64"), LABELS.astype("int32")),
        (PIXELS, np.eye(7)[LABELS]),
        (PIXELS, np.eye(7, dtype="uint8")[LABELS]),
        (PIXELS.reshape(25, 1, 3, 4), LABELS),
        (asarray(PIXELS, backend="array_api_strict"), asarray(LABELS, backend="array_api_strict")),
    ]
    for x, t in forms:
        history = (
            make(x=x, t=t, epochs=2)
            if isinstance(x, np.ndarray)
            else Trainer(
                TwoLayerNet(12, 6, 7, seed=0),
                x,
                t,
                x[:5, ...],
                t[:5],
                epochs=2,
                mini_batch_size=10,
                verbose=False,
                seed=0,
                optimizer_param={"lr": 0.1},
            )
        )
        history = history.train()
        np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-6)
        assert history.test_acc == expected.test_acc


def test_images_stay_bytes_until_a_minibatch_is_made():
    trainer = make()
    assert trainer.x_train.dtype == np.uint8
    assert trainer.x_train is PIXELS
    assert make(x=PIXELS.astype("float64")).x_train.dtype == np.float32


def test_train_again_goes_on():
    twice = make(epochs=2)
    twice.train()
    twice.train()
    once = make(epochs=4).train()
    assert twice.train_loss_list == once.loss
    assert twice.history.iterations == once.iterations == [0, 3, 6, 9, 12]
    assert twice.history.time == sorted(twice.history.time)


def test_simple_network_trains_by_numerical_gradient():
    trainer = make(SimpleNetwork(12, 3, 7, 0.5, seed=0), iterations=5, optimizer_param={"lr": 0.5}, mini_batch_size=25)
    history = trainer.train()
    assert history.loss == sorted(history.loss, reverse=True)


def test_a_regression_trains_and_has_no_accuracy():
    network = two_layer(np.asarray, Sigmoid, IdentityWithLoss)
    x, t = numbers(1, 25, 12), numbers(2, 25, 7)
    history = Trainer(network, x, t, None, None, epochs=20, mini_batch_size=5, verbose=False, seed=0).train()
    assert history.loss[-1] < history.loss[0]
    assert history.train_acc == history.test_acc == []
    assert len(history.iterations) == 21


def test_evaluation_on_a_part_and_without_a_test_set():
    trainer = make(evaluate_sample_num_per_epoch=5, epochs=1)
    trainer.train()
    assert trainer.train_acc_list[-1] == trainer.network.accuracy(PIXELS[:5], LABELS[:5])
    alone = Trainer(TwoLayerNet(12, 6, 7, seed=0), PIXELS, LABELS, None, None, epochs=1, verbose=False)
    assert alone.train().test_acc == []
    assert len(alone.train_acc_list) == 2


def test_an_optimizer_of_ones_own():
    class SignDescent:
        def update(self, params, grads):
            for key in params:
                params[key] -= 0.01 * np.sign(grads[key])

    network = TwoLayerNet(12, 6, 7, seed=0)
    before = {key: value.copy() for key, value in network.params.items()}
    make(network, iterations=1, optimizer=SignDescent()).train()
    assert np.abs(network.params["W2"] - before["W2"]).max() == pytest.approx(0.01, rel=1e-3)
    assert make(optimizer="sgd").optimizer.lr == 0.1
    assert make(optimizer=SGD(lr=0.3)).optimizer.lr == 0.3


# --- what is recorded and shown -------------------------------------------------------------------------------------


def test_callbacks_see_each_evaluation_and_can_stop():
    seen = []

    def watch(trainer):
        seen.append((len(trainer.train_loss_list), trainer.test_acc_list[-1]))
        if len(seen) == 3:
            trainer.stop()

    history = make(epochs=9, callbacks=[watch]).train()
    assert [n for n, _ in seen] == history.iterations == [0, 3, 6]


def test_an_interrupt_loses_nothing_that_was_learned():
    trainer = make(epochs=3)
    step, calls = trainer.train_step, []

    def interrupted(indices):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return step(indices)

    trainer.train_step = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(trainer.train_loss_list) == 5
    assert trainer.train_loss_list == make(epochs=3).train().loss[:5]


def test_the_courses_rows_are_printed(capsys):
    trainer = make(epochs=2, verbose=True)
    trainer.train()
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["loss", "time", "n", "[TrainAcc]", "[TestAcc]"]
    rows = [line.split() for line in lines[1:4]]
    assert [row[2] for row in rows] == ["000000", "000003", "000006"]
    assert [row[3] for row in rows] == [f"{a:.4f}" for a in trainer.train_acc_list]
    assert rows[-1][0] == f"{trainer.train_loss_list[-1]:.4f}"
    assert lines[4].startswith("6 iterations in ")
    assert "with numpy" in lines[4]
    assert err == ""  # no progress bar where there is no terminal


def test_quiet_is_quiet(capsys):
    make(epochs=1).train()
    assert capsys.readouterr() == ("", "")


def test_a_bar_with_loss_and_accuracy_on_a_terminal(capsys, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("xpnet.trainer._REFRESH_SECONDS", 0.0)
    make(epochs=2, verbose=True).train()
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "6/6" in shown
    assert "loss=" in shown
    assert "test=" in shown


def test_history_writes_csv_json_and_a_picture(tmp_path):
    history = make(epochs=2).train()
    history.to_csv(tmp_path / "h.csv")
    rows = list(csv.DictReader((tmp_path / "h.csv").read_text().splitlines()))
    assert [int(row["iteration"]) for row in rows] == list(range(7))
    assert [float(row["loss"]) for row in rows[1:]] == history.loss
    assert [i for i, row in enumerate(rows) if row["test_acc"]] == history.iterations
    assert float(rows[6]["test_acc"]) == history.test_acc[-1]
    history.to_json(tmp_path / "h.json")
    assert json.loads((tmp_path / "h.json").read_text()) == vars(history)
    history.plot(tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["h.csv", "h.json", "h.png"]


def test_the_picture_shows_the_lists(tmp_path):
    history = make(epochs=2).train()
    figure = history.plot(tmp_path / "h.svg")
    left, right = figure.axes
    assert left.lines[0].get_ydata().tolist() == history.loss
    train, test = right.lines
    assert train.get_ydata().tolist() == history.train_acc
    assert test.get_linestyle() == "--"
    assert test.get_xdata().tolist() == [0, 1, 2]
    assert right.get_ylim() == (0, 1)
    assert right.get_legend()._loc_real == 4  # lower right
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []  # a picture for a file leaves the user's figures alone
    assert history.plot() is plt.gcf()
    plt.close("all")


def test_times_are_told_apart():
    history = make(epochs=3).train()
    assert history.seconds > 0
    assert history.evaluation_seconds > 0
    assert history.seconds + history.evaluation_seconds == pytest.approx(history.time[-1], rel=0.2)


# --- that it learns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["shuffle", "choice"])
def test_the_bundled_digits_are_learned(sampling):
    (x, t), (x_test, t_test) = load_digits(normalize=False)
    network = TwoLayerNet(64, 50, 10, seed=0)
    trainer = Trainer(
        network, x, t, x_test, t_test, 40, 20, "SGD", {"lr": 0.1}, verbose=False, seed=0, sampling=sampling
    )
    history = trainer.train()
    assert history.test_acc[-1] > 0.90
    assert history.train_acc[-1] > 0.97


def test_ten_thousand_iterations_on_mnist(mnist):
    """Course row 17 on five seeds: each at least 0.964 on the test images, 0.968 on average."""
    (x, t), (x_test, t_test) = mnist
    reached = []
    for seed in range(5):
        network = TwoLayerNet(784, 50, 10, seed=seed)
        trainer = Trainer(
            network,
            x,
            t,
            x_test,
            t_test,
            optimizer_param={"lr": 0.1},
            iterations=10_000,
            seed=seed,
            verbose=False,
            evaluate_sample_num_per_epoch=1000,
        )
        trainer.train()
        reached.append(network.accuracy(x_test, t_test))
    assert min(reached) >= 0.964, reached
    assert np.mean(reached) >= 0.968, reached


@pytest.mark.parametrize("interrupted", ["train", "test"])
def test_an_interrupt_of_an_evaluation_leaves_lists_of_one_length(monkeypatch, interrupted):
    trainer = make(epochs=3)
    accuracy, calls = trainer.network.accuracy, []

    def interrupt(x, t):
        calls.append(1)
        if len(calls) == {"train": 3, "test": 4}[interrupted]:
            raise KeyboardInterrupt
        return accuracy(x, t)

    monkeypatch.setattr(trainer.network, "accuracy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    history = trainer.history
    assert history.iterations == [0]
    assert len(history.time) == len(history.train_acc) == len(history.test_acc) == 1
    assert len(history.loss) == 3
