"""The validation set: which samples are in it, what is taken on it and shown of it, and what is refused."""

import csv
import json

import numpy as np
import pytest
from cases import numbers
from small_training import LABELS, PIXELS, affine_net, batches, make

from xpnet import (
    IdentityWithLoss,
    SigmoidWithLoss,
    Trainer,
    TwoLayerNet,
    asarray,
    split_validation,
    to_numpy,
)
from xpnet.errors import ArgumentError, ArrayMixError, DataError, DtypeError, LabelError, ShapeError

INDEX_OF = {row.tobytes(): i for i, row in enumerate(PIXELS)}


def which(x):
    """The indices of images among PIXELS."""
    return [INDEX_OF[row.tobytes()] for row in np.round(to_numpy(x)).astype(np.uint8)]


# --- which samples --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "held_out"), [(0.2, 5), (0.5, 12), (0.001, 1), (0.999, 24), (np.float32(0.25), 6)])
def test_a_share_is_taken_out_of_the_training_set(share, held_out):
    trainer = make(validation=share)
    train, val = which(trainer.x_train), which(trainer.validation.x)
    assert len(val) == held_out
    assert sorted(train + val) == list(range(25))
    assert val != list(range(25))[:held_out]
    assert to_numpy(trainer.t_train).tolist() == LABELS[train].tolist()
    assert to_numpy(trainer.validation.t).tolist() == LABELS[val].tolist()
    assert trainer.train_size == 25 - held_out
    assert trainer.iterations_per_epoch == -(-(25 - held_out) // 10)


@pytest.mark.parametrize("sampling", ["shuffle", "choice"])
def test_no_minibatch_has_a_sample_of_the_validation_set(sampling):
    trainer = make(validation=0.4, epochs=6, sampling=sampling)
    val = which(trainer.validation.x)
    seen = set(sum(batches(trainer), []))
    assert seen == set(range(25)) - set(val)


def test_the_split_is_the_same_on_every_backend_and_wherever_the_data_lie(be):
    here = make(validation=0.3)
    network = TwoLayerNet(12, 6, 7, seed=0, dtype=be.dtype, backend=be.backend)
    for x, t in ((PIXELS, LABELS), (be.put(PIXELS), be.put(LABELS))):
        there = Trainer(network, x, t, None, None, seed=0, verbose=False, mini_batch_size=10, validation=0.3)
        assert which(there.validation.x) == which(here.validation.x)
        assert which(there.x_train) == which(here.x_train)
        assert type(there.validation.x) is type(there.validation.t) is type(network.state.like)
        assert sum(batches(there), [])[:10] == sum(batches(make(validation=0.3, epochs=1)), [])[:10]


def test_another_seed_gives_another_split():
    splits = [which(make(validation=0.3, seed=seed).validation.x) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_a_pair_leaves_the_training_set_whole():
    trainer = make(validation=(PIXELS[3:9], np.eye(7)[LABELS[3:9]]))
    assert trainer.x_train is PIXELS
    assert which(trainer.validation.x) == list(range(3, 9))
    assert trainer.validation.t.tolist() == LABELS[3:9].tolist()
    assert sum(batches(make(epochs=1)), []) == sum(batches(make(epochs=1, validation=(PIXELS[:3], LABELS[:3]))), [])
    assert make().validation is None


def test_a_pair_may_come_from_another_library(be):
    network = TwoLayerNet(12, 6, 7, seed=0, dtype=be.dtype, backend=be.backend)
    x, t = (asarray(a, backend="array_api_strict") for a in (PIXELS.astype("float64") / 255, LABELS))
    history = make(network, validation=(x, t), epochs=1).train()
    expected = make(network.copy().to("numpy"), validation=(PIXELS, LABELS), epochs=1)
    np.testing.assert_allclose(history.val_loss[-1], float(expected.network.loss(PIXELS, LABELS)), rtol=1e-5)


def test_splitting_by_hand_copies():
    x, t = numbers(0, 10, 2), np.arange(10)
    kept = x.copy()
    (x_train, t_train), (x_val, t_val) = split_validation(x, t, 0.3, seed=5)
    assert (x_train.shape, x_val.shape) == ((7, 2), (3, 2))
    np.testing.assert_array_equal(np.concatenate([x_train, x_val]), x[np.concatenate([t_train, t_val])])
    x_train[...], x_val[...] = 7, 8
    np.testing.assert_array_equal(x, kept)
    again = split_validation(x, t, 0.3, seed=np.random.default_rng(5))
    assert again[1][1].tolist() == t_val.tolist()
    assert sorted([*t_train, *t_val]) == list(range(10))


# --- what is taken on it --------------------------------------------------------------------------------------------


def test_loss_and_accuracy_at_each_evaluation(be):
    network = TwoLayerNet(12, 6, 7, 0.5, seed=0, dtype=be.dtype, backend=be.backend)
    x, t = be.put(PIXELS[:9]), be.put(LABELS[:9])
    seen = []

    def watch(trainer):
        seen.append((float(network.loss(x, t)), network.accuracy(x, t)))

    history = make(network, validation=(PIXELS[:9], LABELS[:9]), epochs=4, callbacks=[watch]).train()
    assert list(zip(history.val_loss, history.val_acc, strict=True)) == seen
    assert len(seen) == len(history.test_acc) == 5
    assert len(set(history.val_loss)) == 5
    assert {type(value) for value in history.val_loss + history.val_acc} == {float}


@pytest.mark.bits
def test_to_evaluate_changes_no_training():
    plain, validated = make(epochs=3), make(epochs=3, validation=(PIXELS[:4], LABELS[:4]))
    assert plain.train().loss == validated.train().loss
    assert plain.history.val_loss == plain.history.val_acc == []


def test_a_part_of_it_where_a_part_is_asked_for():
    trainer = make(validation=(PIXELS[5:], LABELS[5:]), evaluate_sample_num_per_epoch=4, epochs=1)
    history = trainer.train()
    assert history.val_acc[-1] == trainer.network.accuracy(PIXELS[5:9], LABELS[5:9])
    assert history.val_loss[-1] == float(trainer.network.loss(PIXELS[5:9], LABELS[5:9]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_regression_has_a_validation_loss_alone(dtype):
    network = affine_net(IdentityWithLoss(), 2, dtype)
    x, t = numbers(3, 30, 12), numbers(4, 30, 2)
    trainer = Trainer(network, x, t, None, None, epochs=3, verbose=False, seed=0, validation=0.2, mini_batch_size=8)
    history = trainer.train()
    assert len(history.val_loss) == 4
    assert history.val_acc == history.train_acc == []
    assert history.val_loss[-1] == float(network.loss(*trainer.validation))
    assert trainer.validation.x.dtype == trainer.validation.t.dtype == dtype


def test_questions_of_yes_or_no_have_both():
    network = affine_net(SigmoidWithLoss(), 3)
    x, t = numbers(3, 30, 12), (numbers(4, 30, 3) > 0).astype(int)
    trainer = Trainer(network, x, t, None, None, epochs=3, verbose=False, seed=0, validation=(x[:7], t[:7]))
    history = trainer.train()
    assert history.val_acc[-1] == network.accuracy(x[:7], t[:7].astype(float))
    assert len(history.val_loss) == len(history.val_acc) == 4


# --- what is shown of it --------------------------------------------------------------------------------------------


def rows_of(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_it_has_a_column(capsys):
    history = make(epochs=2, verbose=True, validation=0.2).train()
    head, *rows, _ = rows_of(capsys)
    assert head == ["loss", "time", "n", "[TrainAcc]", "[TestAcc]", "[ValAcc]"]
    assert [row[5] for row in rows] == [f"{a:.4f}" for a in history.val_acc]
    assert [row[4] for row in rows] == [f"{a:.4f}" for a in history.test_acc]


def test_the_columns_stand_below_their_names(capsys):
    make(epochs=1, verbose=True, validation=0.2).train()
    head, *rows, _ = capsys.readouterr().out.splitlines()
    assert {len(row) for row in rows} == {len(head)}


def test_a_regression_has_the_loss_in_that_column(capsys):
    x, t = numbers(3, 30, 12), numbers(4, 30, 2)
    history = Trainer(affine_net(IdentityWithLoss(), 2), x, t, None, None, epochs=1, seed=0, validation=0.2).train()
    head, *rows, _ = rows_of(capsys)
    assert head[-1] == "[ValLoss]"
    assert [row[3:] for row in rows] == [["-", "-", f"{loss:.4f}"] for loss in history.val_loss]


def test_the_bar_has_it_too(capsys, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    history = make(epochs=2, verbose=True, validation=0.2).train()
    assert f"val={history.val_acc[-1]:.4f}" in capsys.readouterr().err


def test_files_and_the_picture_have_it(tmp_path):
    history = make(epochs=2, validation=0.2).train()
    history.to_csv(tmp_path / "h.csv")
    rows = list(csv.DictReader((tmp_path / "h.csv").read_text().splitlines()))
    assert list(rows[0]) == ["iteration", "loss", "elapsed_seconds", "train_acc", "test_acc", "val_acc", "val_loss"]
    for name in ("val_acc", "val_loss", "test_acc"):
        assert [float(row[name]) for row in rows if row[name]] == getattr(history, name)
        assert [int(row["iteration"]) for row in rows if row[name]] == history.evaluated_at
    history.to_json(tmp_path / "h.json")
    assert json.loads((tmp_path / "h.json").read_text())["val_loss"] == history.val_loss
    figure = history.plot(tmp_path / "h.svg")
    line = figure.axes[1].lines[2]
    assert line.get_ydata().tolist() == history.val_acc
    assert line.get_xdata().tolist() == history.epochs == [0, 1, 2]
    assert line.get_label().startswith("validation")


def test_the_files_of_a_regression_have_an_empty_accuracy(tmp_path):
    x, t = numbers(3, 30, 12), numbers(4, 30, 2)
    network = affine_net(IdentityWithLoss(), 2)
    history = Trainer(network, x, t, None, None, epochs=1, seed=0, validation=0.2, verbose=False).train()
    history.to_csv(tmp_path / "h.csv")
    rows = list(csv.DictReader((tmp_path / "h.csv").read_text().splitlines()))
    assert [float(row["val_loss"]) for row in rows if row["val_loss"]] == history.val_loss
    assert {row["val_acc"] for row in rows} == {row["train_acc"] for row in rows} == {""}


def test_epochs_that_are_not_whole():
    history = make(iterations=4, validation=(PIXELS[:3], LABELS[:3])).train()
    assert history.evaluated_at == [0, 3, 4]
    assert history.epochs == [0, 1, 4 / 3]


# --- what is refused ------------------------------------------------------------------------------------------------

BAD = {
    "nothing held out": (0, ArgumentError, r"above 0 and below 1, or a pair; got 0\. .*validation=0.2"),
    "all held out": (1, ArgumentError, "got 1"),
    "less than nothing": (-0.1, ArgumentError, r"got -0\.1"),
    "more than there are": (5, ArgumentError, "got 5"),
    "NaN": (float("nan"), ArgumentError, "got nan"),
    "a truth value": (False, ArgumentError, "got False"),
    "a word": ("half", ArgumentError, "got 'half'"),
    "a list": ([PIXELS, LABELS], ArgumentError, r"got 'list'.*validation=\(x_val, t_val\)"),
    "an array": (PIXELS, ArgumentError, "got 'ndarray'"),
    "inputs alone": ((PIXELS,), ArgumentError, "got 'tuple'"),
    "three": ((PIXELS, LABELS, LABELS), ArgumentError, "got 'tuple'"),
    "no labels": ((PIXELS, None), ArrayMixError, "t_val must be an array, got NoneType"),
    "inputs in a list": ((PIXELS.tolist(), LABELS), ArrayMixError, "x_val must be an array, got list"),
    "labels out of range": ((PIXELS, LABELS + 6), LabelError, "^t_val: Expected labels from 0 to 6, got "),
    "labels as floats": ((PIXELS, LABELS * 1.0), DtypeError, "^t_val: Expected class indices as integers"),
    "too few labels": ((PIXELS, LABELS[:3]), ShapeError, r"^t_val: Expected labels of shape \(25,\)"),
    "several classes": ((PIXELS, np.ones((25, 7))), LabelError, "^t_val: .* sum to 1, got the sum 7 in row 0"),
    "another width": ((PIXELS[:, :5], LABELS), ShapeError, "^x_val: Affine1: Affine expects 12 numbers a sample"),
    "no samples": ((PIXELS[:0], LABELS[:0]), ShapeError, "^x_val: The batch is empty"),
    "no pixels": ((PIXELS.astype(int), LABELS), DtypeError, "^x_val: Inputs must be uint8 pixels"),
    "not finite": ((np.full((25, 12), np.nan), LABELS), DataError, "^x_val holds numbers that are not finite"),
}


@pytest.mark.parametrize(("validation", "error", "says"), BAD.values(), ids=BAD.keys())
def test_a_bad_validation_set_is_refused_before_anything_is_moved(validation, error, says, monkeypatch):
    monkeypatch.setattr("xpnet.training.data_sets.Samples.to", lambda *_: pytest.fail("moved"))
    with pytest.raises(error, match=says):
        make(validation=validation)


@pytest.mark.parametrize("name", ["train", "test"])
def test_the_other_sets_are_named_as_well(name):
    good = (PIXELS, LABELS)
    wrong = {f"^t_{name}: Expected labels": (PIXELS, LABELS + 6), f"^x_{name}: Affine1": (PIXELS[:, :5], LABELS)}
    for says, bad in wrong.items():
        sets = (*bad, *good) if name == "train" else (*good, *bad)
        with pytest.raises((LabelError, ShapeError), match=says):
            Trainer(TwoLayerNet(12, 6, 7, seed=0), *sets, verbose=False, validation=0.2)


def test_targets_of_a_regression_that_are_not_finite():
    with pytest.raises(DataError, match=r"^t_val: Expected finite targets, got inf at index \(0, 0\)"):
        make(affine_net(IdentityWithLoss(), 1), t=numbers(0, 25), validation=(PIXELS, np.full(25, np.inf)))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((PIXELS.tolist(), LABELS), {}, ArrayMixError, "x must be an array, got list"),
        ((PIXELS, LABELS.tolist()), {}, ArrayMixError, "t must be an array, got list"),
        ((PIXELS, LABELS[:3]), {}, ArgumentError, "a target for each, got 25 and 3 targets"),
        ((PIXELS[:1], LABELS[:1]), {}, ArgumentError, "at least two samples"),
        ((PIXELS, LABELS[0]), {}, ArgumentError, "got 25 and 0 targets"),
        ((PIXELS, LABELS, 0), {}, ArgumentError, "share must be a finite number above 0, got 0"),
        ((PIXELS, LABELS, -1), {}, ArgumentError, "share must be"),
        ((PIXELS, LABELS, 1.0), {}, ArgumentError, "share must be a number from 0 up to, but not, 1, got 1"),
        ((PIXELS, LABELS, None), {}, ArgumentError, "share must be"),
        ((PIXELS, LABELS), {"seed": -1}, ArgumentError, "seed must be a whole number of at least 0"),
        ((PIXELS, LABELS), {"seed": "one"}, ArgumentError, "seed must be"),
    ],
)
def test_a_split_that_makes_no_sense(arguments, options, error, says):
    with pytest.raises(error, match=says):
        split_validation(*arguments, **options)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_of_two_samples_one_is_held_out(share):
    parts = split_validation(np.array([[3.0], [4.0]]), np.array([3, 4]), share, seed=0)
    assert [(x[0, 0], t.tolist()) for x, t in parts] in ([(3, [3]), (4, [4])], [(4, [4]), (3, [3])])


def test_one_sample_cannot_be_split():
    with pytest.raises(ArgumentError, match="at least two samples"):
        make(x=PIXELS[:1], t=LABELS[:1], validation=0.5)
