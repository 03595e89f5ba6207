"""What is done after each evaluation: training ends in time, the best weights are given back, or lie in a file."""

import itertools
import math
import re

import numpy as np
import pytest
from cases import numbers
from small_training import LABELS, PIXELS, make

from xpnet import (
    Affine,
    BestModel,
    Callback,
    EarlyStopping,
    IdentityWithLoss,
    MultiLayerNet,
    Network,
    Relu,
    SigmoidWithLoss,
    Trainer,
    TwoLayerNet,
    to_numpy,
)
from xpnet.errors import ArgumentError, ShapeError

VALIDATION = (PIXELS[:9], LABELS[:9])


def weights(network):
    return {key: to_numpy(value).copy() for key, value in network.state.weights().items()}


def assert_equal(actual, expected):
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(actual[key], value, err_msg=key)


class Remember:
    """Keeps the weights of each evaluation."""

    def __init__(self):
        self.weights = []

    def __call__(self, trainer):
        self.weights.append(weights(trainer.network))


def told(monkeypatch, losses, name="val_loss"):
    """Let validation give these numbers, one an evaluation, whatever the network has learned."""
    values = itertools.chain(losses, itertools.repeat(losses[-1]))
    record = type(make().history).record

    def recorded(self, iterations, time, results):
        record(self, iterations, time, {**results, name: next(values)})

    monkeypatch.setattr("xpnet.training.history.History.record", recorded)


def with_normalization(be=None):
    options = {"dtype": be.dtype, "backend": be.backend} if be else {}
    return MultiLayerNet(12, [8], 7, use_batchnorm=True, seed=0, **options)


# --- early stopping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "patience", "evaluations", "best"),
    [
        ([3, 2, 1, 1.5, 1.2, 0.5], 2, 5, 2),
        ([3, 2, 1, 1.5, 0.9, 1, 1, 0], 2, 7, 4),
        ([1, 2, 0], 1, 2, 0),
        ([1, 1, 1, 0], 2, 3, 0),  # as good is not better
        ([1, 2, 3, 4, 5, 0], 5, 6, 5),  # the last chance is taken, and training goes on to its end
        ([math.nan, 2, math.nan, 1, 3, 3], 2, 6, 3),
        ([math.inf, 5, math.inf, math.nan, 4], 2, 4, 1),
    ],
)
def test_patience_counts_evaluations_in_a_row_without_a_better_one(monkeypatch, losses, patience, evaluations, best):
    told(monkeypatch, losses)
    stopping, remember = EarlyStopping(patience), Remember()
    epochs = evaluations - 1 if best == 5 else 20
    trainer = make(epochs=epochs, validation=VALIDATION, callbacks=[remember, stopping])
    history = trainer.train()
    assert len(history.evaluated_at) == evaluations
    assert stopping.best == losses[best]
    assert stopping.best_iteration == history.evaluated_at[best] == 3 * best
    assert_equal(weights(trainer.network), remember.weights[best])


def test_with_accuracy_more_is_better(monkeypatch):
    told(monkeypatch, [0.1, 0.5, 0.4, 0.5, 0.9], "val_acc")
    stopping, remember = EarlyStopping(2, "val_acc"), Remember()
    trainer = make(epochs=20, validation=VALIDATION, callbacks=[remember, stopping])
    assert len(trainer.train().evaluated_at) == 4
    assert stopping.best == 0.5
    assert_equal(weights(trainer.network), remember.weights[1])


@pytest.mark.parametrize(("min_delta", "evaluations"), [(0.5, 4), (0.1, 5), (0.0, 6)])
def test_how_much_better_is_better(monkeypatch, min_delta, evaluations):
    told(monkeypatch, [3, 2, 1.75, 1.75, 1.75, 1.75] if min_delta else [3, 2, 1.75, 1.7, 1.7, 1.7])
    history = make(epochs=20, validation=VALIDATION, callbacks=[EarlyStopping(2, min_delta=min_delta)]).train()
    assert len(history.evaluated_at) == evaluations


@pytest.mark.parametrize("capture", [True, False])
def test_the_best_weights_are_given_back_at_the_natural_end(capture):
    """A rate at which the loss jumps, so that the last weights are not the best."""
    stopping, remember = EarlyStopping(100), Remember()
    trainer = make(epochs=12, optimizer_param={"lr": 3.0}, validation=VALIDATION, capture=capture,
                   callbacks=[stopping, remember])  # fmt: skip
    history = trainer.train()
    best = int(np.argmin(history.val_loss))
    assert 0 < best < 12
    assert stopping.best == min(history.val_loss) == float(trainer.network.loss(*trainer.validation))
    assert_equal(weights(trainer.network), remember.weights[best])


def test_statistics_are_given_back_too_on_every_backend(be, monkeypatch):
    told(monkeypatch, [3, 1, 2, 2])
    network, remember = with_normalization(be), Remember()
    trainer = make(network, epochs=9, validation=VALIDATION, callbacks=[remember, EarlyStopping(2)])
    trainer.train()
    best, last = remember.weights[1], remember.weights[3]
    assert {"running_mean1", "running_var1", "gamma1", "W2"} < best.keys()
    assert all((best[key] != last[key]).any() for key in best)
    assert_equal(weights(network), best)
    assert type(network.state.statistics["running_mean1"]) is type(network.state.like)
    if network.state.buffers is not None:  # the layers still look into the buffer, which has the same numbers
        flat = np.concatenate([best[key].ravel() for key in network.params])
        np.testing.assert_array_equal(to_numpy(network.state.buffers.params), flat)
        network.state.buffers.params *= 0
        assert not to_numpy(network.params["W2"]).any()


def test_training_goes_on_from_the_weights_given_back(monkeypatch):
    told(monkeypatch, [3, 1, 2, 2, 2, 2])
    stopping, remember = EarlyStopping(2), Remember()
    trainer = make(with_normalization(), epochs=5, validation=VALIDATION, callbacks=[remember, stopping])
    history = trainer.train()
    assert history.evaluated_at == [0, 3, 6, 9]
    trainer.train()
    assert history.evaluated_at == [0, 3, 6, 9, 12, 15]  # it waited anew, and the best is still that of before
    assert stopping.best_iteration == 3
    assert_equal(weights(trainer.network), remember.weights[1])


@pytest.mark.bits
def test_one_object_serves_one_training_after_another():
    """The second network is not given the weights of the first, though those were better; nor the third, of others."""
    stopping = EarlyStopping(50)
    first = make(epochs=20, validation=VALIDATION, callbacks=[stopping], optimizer="Adam", optimizer_param={"lr": 0.02})
    first.train()
    good = stopping.best
    remember = Remember()
    second = make(TwoLayerNet(12, 6, 7, 2.0, seed=3), epochs=1, validation=VALIDATION, callbacks=[stopping, remember])
    history = second.train()
    assert good < min(history.val_loss) == stopping.best
    assert_equal(weights(second.network), remember.weights[int(np.argmin(history.val_loss))])
    third = make(TwoLayerNet(12, 5, 7, seed=0), epochs=1, validation=VALIDATION, callbacks=[stopping])
    third.train()
    assert third.network.params["W1"].shape == (12, 5)


@pytest.mark.parametrize("where", ["a callback", "a step", "a replayed step"])
def test_an_interrupt_gives_the_best_back_and_leaves_the_record_whole(monkeypatch, where):
    told(monkeypatch, [3, 1, 2, 2, 2])
    stopping, remember = EarlyStopping(50), Remember()

    def interrupt(trainer):
        if len(trainer.history.evaluated_at) == 4:
            raise KeyboardInterrupt

    callbacks = [remember, stopping, *([interrupt] if where == "a callback" else [])]
    trainer = make(epochs=20, validation=VALIDATION, callbacks=callbacks, capture=where == "a replayed step")
    if where == "a step":
        step, calls = trainer.train_step, itertools.count()
        trainer.train_step = lambda x, t: step(x, t) if next(calls) != 10 else interrupt_now()
    if where == "a replayed step":
        from xpnet._core import tuning
        from xpnet.engine.replay import NumpyReplayer

        monkeypatch.setattr(tuning, "MAX_BLOCK_SECONDS", 1e9)  # blocks as long on a busy machine
        run, runs = NumpyReplayer.run, itertools.count()

        def interrupted(self, indices, numbers, losses):
            if next(runs) == 4:  # one run was the check of the recording
                run(self, indices[:1], numbers[:1], losses)
                raise KeyboardInterrupt
            run(self, indices, numbers, losses)

        monkeypatch.setattr(NumpyReplayer, "run", interrupted)

    def interrupt_now():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    history = trainer.history
    made = 9 if where == "a callback" else 10
    assert len(history.loss) == trainer.optimizer.iter == made
    assert len(history.evaluated_at) == len(history.val_loss) == len(history.val_acc) == len(history.test_acc) == 4
    assert_equal(weights(trainer.network), remember.weights[1])
    monkeypatch.undo()
    told(monkeypatch, [0])
    trainer.train_step = type(trainer).train_step.__get__(trainer)
    trainer.callbacks.remove(interrupt) if interrupt in trainer.callbacks else None
    trainer.iterations = 3
    assert len(trainer.train().loss) == made + 3  # and it can go on


@pytest.mark.parametrize("last_layer", [IdentityWithLoss, SigmoidWithLoss])
@pytest.mark.parametrize("callback", ["stopping", "file"])
def test_other_losses(last_layer, callback, tmp_path):
    W, V = (numbers(seed, *shape) for seed, shape in ((1, (12, 6)), (2, (6, 2))))
    network = Network([Affine(W, np.zeros(6)), Relu(), Affine(V, np.zeros(2))], last_layer())
    x, t = numbers(3, 30, 12), (numbers(4, 30, 2) > 0).astype(float)
    callback = EarlyStopping(3) if callback == "stopping" else BestModel(tmp_path / "best")
    trainer = Trainer(network, x, t, None, None, epochs=30, verbose=False, seed=0, validation=0.3, mini_batch_size=5,
                      optimizer_param={"lr": 0.1}, callbacks=[callback])  # fmt: skip
    history = trainer.train()
    assert callback.best == min(history.val_loss)
    best = network if isinstance(callback, EarlyStopping) else network.copy().load(callback.path)
    assert float(best.loss(*trainer.validation)) == callback.best
    assert isinstance(callback, BestModel) or len(history.evaluated_at) < 31


def test_numbers_that_are_never_finite_give_nothing_back(monkeypatch, capsys):
    told(monkeypatch, [math.nan])
    remember = Remember()
    trainer = make(epochs=9, validation=VALIDATION, callbacks=[remember, EarlyStopping(3)], verbose=True)
    assert trainer.train().evaluated_at == [0, 3, 6]
    assert_equal(weights(trainer.network), remember.weights[-1])
    assert "Given back" not in capsys.readouterr().out


def test_a_network_that_breaks_gets_its_best_weights_back():
    def too_fast(trainer):
        if len(trainer.history.evaluated_at) == 4:
            trainer.optimizer.lr = 1e38

    stopping, remember = EarlyStopping(50), Remember()
    trainer = make(epochs=20, validation=VALIDATION, callbacks=[stopping, remember, too_fast])
    with pytest.warns(UserWarning, match="Training ends at iteration 11,"):
        history = trainer.train()
    assert stopping.best == min(history.val_loss)
    assert_equal(weights(trainer.network), remember.weights[history.val_loss.index(stopping.best)])


# --- the best model in a file ---------------------------------------------------------------------------------------


def test_the_file_has_the_best_weights_at_each_moment(tmp_path, monkeypatch):
    told(monkeypatch, [3, 2, 2.5, 1, 4])
    path, expected = tmp_path / "there" / "is none" / "best.safetensors", [0, 1, 1, 3, 3]
    remember, model = Remember(), BestModel(path)
    in_file = []

    def read(trainer):
        in_file.append(weights(with_normalization().load(path)))
        assert [p.name for p in path.parent.iterdir()] == ["best.safetensors"]

    trainer = make(with_normalization(), epochs=4, validation=VALIDATION, callbacks=[remember, model, read])
    trainer.train()
    for i, content in zip(expected, in_file, strict=True):
        assert_equal(content, remember.weights[i])
    assert (model.best, model.best_iteration) == (1, 9)
    assert_equal(weights(trainer.network), remember.weights[4])  # the network itself goes on


def test_the_file_is_written_only_when_it_is_better(tmp_path, monkeypatch):
    told(monkeypatch, [3, 2, 2.5, 1, 1])
    saved = []
    monkeypatch.setattr("xpnet.networks.network.Network.save", lambda _, path: saved.append(path))
    make(epochs=4, validation=VALIDATION, callbacks=[BestModel(tmp_path / "best")]).train()
    assert saved == 3 * [tmp_path / "best"]


def test_a_worse_training_leaves_the_better_file_alone(tmp_path, monkeypatch):
    told(monkeypatch, [3, 1, 5, 4])
    model = BestModel(str(tmp_path / "best"))
    make(epochs=1, validation=VALIDATION, callbacks=[model]).train()
    before = (tmp_path / "best").read_bytes()
    make(TwoLayerNet(12, 6, 7, seed=1), epochs=1, validation=VALIDATION, callbacks=[model]).train()
    assert (tmp_path / "best").read_bytes() == before


class FullDisk:
    """A disk on which the writes of these numbers fail."""

    def __init__(self, monkeypatch, *fails):
        replace, calls = __import__("os").replace, itertools.count()

        def replace_or_fail(source, target):
            if next(calls) in fails:
                raise OSError(28, "No space left on device")
            replace(source, target)

        monkeypatch.setattr("xpnet._core.files.os.replace", replace_or_fail)


def test_a_full_disk_does_not_end_the_training(tmp_path, monkeypatch, capsys):
    """The old file stays, and the weights are written after the next evaluation."""
    told(monkeypatch, [3, 2, 5, 4])
    FullDisk(monkeypatch, 1)
    path, remember, in_file = tmp_path / "best", Remember(), []
    model = BestModel(path)

    def read(trainer):
        in_file.append(weights(TwoLayerNet(12, 6, 7, seed=1).load(path)))
        assert list(tmp_path.iterdir()) == [path]

    trainer = make(epochs=3, validation=VALIDATION, callbacks=[remember, model, read], verbose=True)
    with pytest.warns(
        UserWarning, match="Training goes on, but the best weights cannot be saved: .*No space left"
    ) as said:
        trainer.train()
    assert len(said) == 1
    for i, content in zip([0, 0, 1, 1], in_file, strict=True):
        assert_equal(content, remember.weights[i])
    assert model.unwritten is None
    assert f"Written: {path}, after 3 iterations, val_loss 2.0000" in capsys.readouterr().out


def test_with_another_trainer_early_stopping_begins_anew():
    stopping = EarlyStopping()
    stopping.on_train_begin(make(validation=VALIDATION))
    stopping.best, stopping.best_iteration = 0.5, 7
    stopping.on_train_begin(make(validation=VALIDATION))
    assert math.isnan(stopping.best)
    assert stopping.best_iteration == 0


def test_the_last_attempt_to_write_is_made_at_the_end(tmp_path, monkeypatch, capsys):
    told(monkeypatch, [3, 2, 5])
    FullDisk(monkeypatch, 1, 2)
    remember, model = Remember(), BestModel(tmp_path / "best")
    trainer = make(epochs=2, validation=VALIDATION, callbacks=[model, remember], verbose=True)
    with pytest.warns(UserWarning, match="Training goes on") as said:
        trainer.train()
    assert len(said) == 1
    assert model.unwritten is None
    assert "Written" in capsys.readouterr().out
    assert_equal(weights(TwoLayerNet(12, 6, 7, seed=1).load(tmp_path / "best")), remember.weights[1])


def test_weights_that_could_never_be_written_are_kept(tmp_path, monkeypatch, capsys):
    told(monkeypatch, [3, 2, 5])
    FullDisk(monkeypatch, *range(10))
    remember, model = Remember(), BestModel(tmp_path / "best")
    trainer = make(epochs=2, validation=VALIDATION, callbacks=[model, remember], verbose=True)
    with pytest.warns(UserWarning, match=r"^Training goes on, but|^The best weights, .* are not in .*best\.") as said:
        trainer.train()
    assert "after 3 iterations" in str(said[-1].message)
    assert not list(tmp_path.iterdir())
    assert "Written" not in capsys.readouterr().out
    assert_equal(weights(model.unwritten), remember.weights[1])
    monkeypatch.undo()
    remedy = re.findall("`(.*)`", str(said[-1].message))[0].replace("best.safetensors", str(tmp_path / "elsewhere"))
    exec(remedy, {"trainer": trainer})
    assert_equal(weights(TwoLayerNet(12, 6, 7, seed=1).load(tmp_path / "elsewhere")), remember.weights[1])


def test_what_is_said_of_the_file_is_so(tmp_path, monkeypatch, capsys):
    """Written in this training, or left as it was, or neither."""
    told(monkeypatch, [3, 1, 5, 4, math.nan])
    model = BestModel(tmp_path / "best")
    for expected in (["Written"], ["Left as it was"]):
        make(TwoLayerNet(12, 6, 7, seed=1), epochs=1, validation=VALIDATION, callbacks=[model], verbose=True).train()
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(":")[0] for line in lines if str(tmp_path) in line] == expected
    never = BestModel(tmp_path / "never")
    make(epochs=1, validation=VALIDATION, callbacks=[never], verbose=True).train()
    assert str(tmp_path) not in capsys.readouterr().out


@pytest.mark.parametrize("place", ["a folder", "below a file"])
def test_a_place_that_cannot_be_written_is_refused_before_the_first_step(tmp_path, place):
    (tmp_path / "file").write_text("")
    path = tmp_path if place == "a folder" else tmp_path / "file" / "best"
    trainer = make(validation=VALIDATION, callbacks=[BestModel(path)])
    with pytest.raises(ArgumentError, match="cannot be written"):
        trainer.train()
    assert trainer.history.evaluated_at == trainer.history.loss == []


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("callback", [EarlyStopping(), EarlyStopping(monitor="val_acc"), BestModel("never written")])
def test_without_a_validation_set_it_is_refused_before_the_first_step(callback):
    trainer = make(callbacks=[callback])
    trainer.train_step = lambda x, t: pytest.fail("a step")
    with pytest.raises(ArgumentError, match=rf"{type(callback).__name__}\(.*no validation set.*validation=0\.2"):
        trainer.train()
    assert trainer.history.evaluated_at == []


def test_one_twice_would_count_each_evaluation_twice():
    stopping = EarlyStopping(5)
    with pytest.raises(ArgumentError, match=r"EarlyStopping\(patience=5.*\) is twice among the callbacks"):
        make(validation=VALIDATION, callbacks=[stopping, stopping]).train()
    make(validation=VALIDATION, callbacks=[stopping, EarlyStopping(5)], epochs=1).train()


def test_a_validation_set_of_one_sample_is_said():
    trainer = make(validation=(PIXELS[:1], LABELS[:1]), callbacks=[EarlyStopping(5)], epochs=1)
    with pytest.warns(UserWarning, match="follows val_loss of a validation set of one sample"):
        trainer.train()


@pytest.mark.parametrize("callback", [EarlyStopping(monitor="val_acc"), BestModel("never written", "val_acc")])
def test_a_regression_has_no_accuracy_to_follow(callback):
    network = Network([Affine(numbers(1, 12, 2), np.zeros(2))], IdentityWithLoss())
    trainer = Trainer(network, numbers(2, 9, 12), numbers(3, 9, 2), None, None, validation=0.5, callbacks=[callback])
    with pytest.raises(ArgumentError, match=r"IdentityWithLoss\(\) has no classes. Use `monitor='val_loss'`"):
        trainer.train()


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: EarlyStopping(monitor="val_los"), "monitor must be one of 'val_loss', 'val_acc', got 'val_los'"),
        (lambda: EarlyStopping(monitor="test_acc"), "got 'test_acc'"),
        (lambda: BestModel("a", monitor="loss"), "monitor must be one of"),
        (lambda: EarlyStopping(patience=0), "patience must be a whole number of at least 1, got 0"),
        (lambda: EarlyStopping(patience=2.5), "patience must be"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta must be a finite number of at least 0, got -1"),
        (lambda: BestModel("a", min_delta=math.nan), "min_delta must be"),
    ],
)
def test_options_out_of_range(made, says):
    with pytest.raises(ArgumentError, match=says):
        made()


# --- begin, finish, say ---------------------------------------------------------------------------------------------


class Noting(Callback):
    """Notes when it is called, and fails where it is told to."""

    def __init__(self, name, notes, fails=""):
        self.name, self.notes, self.fails = name, notes, fails

    def note(self, what, trainer):
        self.notes.append((self.name, what, len(trainer.history.loss)))
        if what == self.fails:
            raise ShapeError("on purpose")

    def on_train_begin(self, trainer):
        self.note("begin", trainer)

    def on_evaluation(self, trainer):
        self.note("call", trainer)

    def on_train_end(self, trainer):
        self.note("finish", trainer)


def test_begin_before_the_first_step_and_finish_after_the_last():
    notes = []
    trainer = make(epochs=1, callbacks=[Noting("a", notes), lambda _: notes.append("function"), Noting("b", notes)])
    trainer.train()
    evaluated = lambda n: [("a", "call", n), "function", ("b", "call", n)]  # noqa: E731
    begun, finished = [("a", "begin", 0), ("b", "begin", 0)], [("b", "finish", 3), ("a", "finish", 3)]
    assert notes == [*begun, *evaluated(0), *evaluated(3), *finished]
    notes.clear()
    trainer.train()
    assert notes[:2] == [("a", "begin", 3), ("b", "begin", 3)]
    assert notes[-2:] == [("b", "finish", 6), ("a", "finish", 6)]


@pytest.mark.parametrize(("fails", "finished"), [("begin", "a"), ("call", "ba"), ("finish", "ba")])
def test_an_error_in_a_callback_comes_out_and_the_others_finish(fails, finished):
    notes = []
    trainer = make(epochs=1, callbacks=[Noting("a", notes), Noting("b", notes, fails)])
    with pytest.raises(ShapeError, match="on purpose"):
        trainer.train()
    assert "".join(name for name, what, _ in notes if what == "finish") == finished
    history = trainer.history
    evaluated = len(history.evaluated_at)
    assert (
        evaluated
        == len(history.test_acc)
        == len(history.elapsed_seconds)
        == {"begin": 0, "call": 1, "finish": 2}[fails]
    )
    assert trainer.runner._steps is None


def test_what_a_callback_says_is_printed_unless_it_shall_be_quiet(capsys, tmp_path):
    callbacks = [lambda trainer: trainer.say("so far so good"), EarlyStopping(), BestModel(tmp_path / "best")]
    trainer = make(epochs=1, validation=VALIDATION, callbacks=callbacks, verbose=True)
    trainer.train()
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("so far so good") == 2
    where = f"after 3 iterations, val_loss {min(trainer.history.val_loss):.4f}"
    assert f"Given back: the weights {where}" in lines
    assert f"Written: {tmp_path / 'best'}, {where}" in lines
    make(epochs=1, validation=VALIDATION, callbacks=callbacks).train()
    assert capsys.readouterr() == ("", "")


class Hooks(Callback):
    def __init__(self, stops_at=None):
        self.called, self.stops_at = [], stops_at

    def __getattribute__(self, name):
        if not name.startswith("on_"):
            return super().__getattribute__(name)

        def note(trainer):
            self.called.append((name.removeprefix("on_"), len(trainer.history.loss)))
            if self.called[-1] == self.stops_at:
                trainer.stop()

        return note


def test_the_hooks_are_called_in_order():
    hooks = Hooks()
    make(epochs=2, callbacks=[hooks]).train()
    first = [("train_begin", 0), ("evaluation", 0), ("epoch_begin", 0), ("epoch_end", 3), ("evaluation", 3)]
    assert hooks.called == [*first, ("epoch_begin", 3), ("epoch_end", 6), ("evaluation", 6), ("train_end", 6)]


def test_an_epoch_that_is_not_complete_has_no_end_yet():
    hooks = Hooks()
    trainer = make(iterations=4, callbacks=[hooks])
    trainer.train()
    assert [name for name, _ in hooks.called].count("epoch_end") == 1
    hooks.called.clear()
    trainer.iterations = 2
    trainer.train()
    assert hooks.called == [("train_begin", 4), ("epoch_end", 6), ("evaluation", 6), ("train_end", 6)]


@pytest.mark.parametrize(("at", "steps"), [(("epoch_begin", 3), 3), (("epoch_end", 3), 3), (("train_begin", 0), 0)])
def test_training_may_be_stopped_by_every_hook(at, steps):
    hooks = Hooks(at)
    trainer = make(epochs=3, callbacks=[hooks])
    history = trainer.train()
    assert len(history.loss) == history.evaluated_at[-1] == steps
    assert hooks.called[-1] == ("train_end", steps)


def test_a_hook_that_fails_is_not_called_again_and_those_after_it_are():
    notes = []

    class Failing(Callback):
        def on_epoch_end(self, trainer):
            notes.append("fails")
            raise ShapeError("on purpose")

    class After(Callback):
        def on_epoch_end(self, trainer):
            notes.append("after")

    trainer = make(epochs=1, callbacks=[Failing(), After()])
    with pytest.raises(ShapeError, match="on purpose"):
        trainer.train()
    assert notes == ["fails"]
    history = trainer.train()
    assert notes == ["fails", "after"]
    assert history.evaluated_at == [0, 3]


def test_what_is_no_callback_is_refused():
    class Silent:
        def on_epoch_end(self, trainer):
            pass

    for given, fix in ((Silent(), "callbacks must be functions"), (Callback, r"Use `Callback\(\)`")):
        with pytest.raises(ArgumentError, match=fix):
            make(callbacks=[given])
