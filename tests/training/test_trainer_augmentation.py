"""Augmentation in a training: who sees the changed images, that a seed settles them, and what is refused."""

import re
from typing import Any

import numpy as np
import pytest
from cases import same_bits
from matrix import ABSENT, BACKENDS, Place

from xpnet import (
    Augmentation,
    Layer,
    MultiLayerNet,
    Network,
    SimpleConvNet,
    Trainer,
    TwoLayerNet,
    asarray,
    get_array_module,
    to_numpy,
)
from xpnet._core.arrays import as_inputs
from xpnet.errors import ArgumentError, ArrayMixError, CaptureError, ShapeError
from xpnet.networks.plan import Plan

RNG = np.random.default_rng(0)
PIXELS, LABELS = RNG.integers(0, 256, (25, 16), dtype=np.uint8), RNG.integers(0, 7, 25)
FLOATS = as_inputs(PIXELS, np.dtype("float32"))
FORMS = {
    "pixels, rows": PIXELS,
    "pixels, images": PIXELS.reshape(-1, 1, 4, 4),
    "floats, rows": FLOATS,
    "floats, images": FLOATS.reshape(-1, 1, 4, 4),
}
STRICT = [name for name in BACKENDS if name.startswith("strict")]


def network_for(x: np.ndarray, backend: str = "numpy", **options: Any) -> Network:
    """For rows or for images."""
    if x.ndim == 2:
        return TwoLayerNet(x.shape[1], 6, 7, 0.3, seed=0, backend=BACKENDS[backend], **options)
    conv_param = {"filter_num": 3, "filter_size": 3, "pad": 1, "stride": 1}
    return SimpleConvNet(x.shape[1:], conv_param, 5, 7, "he", seed=0, backend=BACKENDS[backend], **options)


def trainer_of(x: np.ndarray = PIXELS, augmentation: Any = None, network: Any = None, **options: Any) -> Trainer:
    options = {"mini_batch_size": 10, "verbose": False, "seed": 0, "optimizer_param": {"lr": 0.1}} | options
    return Trainer(network or network_for(x), x, LABELS, x[:5], LABELS[:5], augmentation=augmentation, **options)


def all_of_it(**options: Any) -> Augmentation:
    return Augmentation(1, 15, 0.1, **{"flip": True, "seed": 1} | options)


def recordable(function: Any) -> Any:
    """The function, and that it makes the same array operations each time."""
    function.recordable = True
    return function


def left(trainer: Trainer) -> dict[str, bytes]:
    """All that a training leaves, to the bit."""
    arrays = {key: to_numpy(value) for key, value in trainer.network.state.weights().items()}
    arrays |= {"losses": np.array(trainer.train_loss_list), "accuracies": np.array(trainer.train_acc_list)}
    if isinstance(trainer.augmentation, Augmentation):
        arrays["key"] = to_numpy(trainer.augmentation.key)
    return {key: np.array(value).tobytes() for key, value in arrays.items()}


class Spy:
    """Keeps what it was given and what it gave."""

    def __init__(self, augmentation: Any) -> None:
        self.augmentation = augmentation
        self.calls: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, x: Any) -> Any:
        y = self.augmentation(x)
        self.calls.append((np.array(to_numpy(x)), np.array(to_numpy(y))))
        return y


# --- who sees what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_the_network_learns_from_the_changed_images_and_is_evaluated_on_the_true_ones(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    x, spy = FORMS[form], Spy(all_of_it())
    before = x.copy()
    network, seen = network_for(x), []
    forward, run = type(next(iter(network.layers.values()))).forward, Plan.run

    def watched(self: Layer, images: np.ndarray) -> np.ndarray:
        first = next(iter(network.layers.values()))
        if self.W is first.W and not self.train:  # of a prediction it is a view of the layer
            seen.append((False, np.array(images)))
        return forward(self, images)

    def watched_step(self: Plan, images: np.ndarray, *others: Any) -> np.ndarray:
        seen.append((True, np.array(images)))
        return run(self, images, *others)

    trainer = trainer_of(x, spy, network, epochs=2, capture=False, validation=0.2)
    spy.calls.clear()  # of the one that is made to see whether it can be
    monkeypatch.setattr(type(next(iter(network.layers.values()))), "forward", watched)
    monkeypatch.setattr(Plan, "run", watched_step)
    trainer.train()
    assert [len(y) for _, y in spy.calls] == [10, 10, 10, 10]
    in_training = [images for train, images in seen if train]
    assert all(np.array_equal(images, y) for images, (_, y) in zip(in_training, spy.calls, strict=True))
    floats = FLOATS.reshape(x.shape)
    rows = {row.tobytes() for row in floats}
    for given, y in spy.calls:
        assert given.dtype == y.dtype == np.float32
        assert {row.tobytes() for row in given} <= rows
        assert not any(row.tobytes() in rows for row in y)
    assert all(row.tobytes() in rows for train, images in seen if not train for row in images)
    assert any(not train for train, _ in seen)
    assert np.array_equal(x, before)
    assert {row.tobytes() for row in trainer.x_train} <= {row.tobytes() for row in before}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("capture", [True, False])
def test_the_users_images_are_left_as_they_are(form: str, capture: bool) -> None:
    x, before = FORMS[form], FORMS[form].copy()
    trainer_of(x, all_of_it(), iterations=40, capture=capture).train()
    assert np.array_equal(x, before)


@pytest.mark.parametrize("capture", [True, False])
def test_even_by_a_function_that_changes_what_it_is_given(capture: bool) -> None:
    """A minibatch is a copy, which it may change; the sample on which it is tried must be one, too."""

    @recordable
    def brighter(x: Any) -> Any:
        x += 0.125
        return x

    x, before = FLOATS.copy(), FLOATS.copy()
    trainer = trainer_of(x, brighter, iterations=40, capture=capture)
    trainer.train()
    assert np.array_equal(x, before)
    other = trainer_of(x, lambda x: x + 0.125, iterations=40)
    other.train()
    assert left(trainer) == left(other)


@pytest.mark.bits
def test_nothing_is_changed_unless_that_is_asked_for() -> None:
    plain, none = trainer_of(iterations=40), trainer_of(augmentation=Augmentation(0, 0), iterations=40)
    assert plain.augmentation is None
    for trainer in (plain, none):
        trainer.train()
    assert same_bits(plain.network.state.weights(), none.network.state.weights())


# --- a seed settles it ----------------------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("form", FORMS)
def test_one_seed_one_result_recorded_and_called(form: str) -> None:
    def trained(seed: int, **options: Any) -> dict[str, bytes]:
        trainer = trainer_of(FORMS[form], all_of_it(seed=seed), iterations=45, optimizer="Adam", **options)
        trainer.train()
        return left(trainer)

    recorded = trained(1, capture=True)
    assert recorded == trained(1, capture=True) == trained(1, capture=False) == trained(1)
    other = trained(2, capture=True)
    assert all(other[key] != recorded[key] for key in recorded if key != "accuracies")
    plain = trainer_of(FORMS[form], iterations=45, optimizer="Adam")
    plain.train()
    assert left(plain)["losses"] != recorded["losses"]


@pytest.mark.bits
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", STRICT)
def test_the_strict_devices_give_the_same_bits(form: str, backend: str) -> None:
    if backend in ABSENT:
        pytest.skip(f"{backend} does not take part: {ABSENT[backend]}")
    results = []
    for place in ("numpy", backend):
        trainer = trainer_of(FORMS[form], all_of_it(), network_for(FORMS[form], place), iterations=7)
        trainer.train()
        results.append(left(trainer))
    assert results[0] == results[1]


def test_on_every_backend(be: Place) -> None:
    network = TwoLayerNet(16, 6, 7, 0.3, seed=0, dtype=be.dtype, backend=be.backend)
    spy = Spy(all_of_it())
    trainer = trainer_of(PIXELS, spy, network, iterations=3)
    trainer.train()
    there = Spy(all_of_it())
    trainer_of(PIXELS, there, TwoLayerNet(16, 6, 7, 0.3, seed=0, dtype=be.dtype), iterations=3).train()
    assert len(spy.calls) == len(there.calls) == 4
    for (given, y), (given_there, y_there) in zip(spy.calls, there.calls, strict=True):
        np.testing.assert_allclose(given, given_there, rtol=1e-6)
        np.testing.assert_allclose(y, y_there, rtol=0, atol=64 * np.finfo(be.dtype).eps)


def test_each_step_has_others() -> None:
    """Of one image over and over, at a rate of next to nothing, each minibatch would have the same loss."""
    x, t = np.repeat(PIXELS[:1], 25, axis=0), np.zeros(25, dtype=np.int64)
    for capture in (True, False):
        for augmentation, different in ((None, 1), (all_of_it(), 40)):
            trainer = Trainer(
                network_for(x), x, t, None, None, iterations=40, mini_batch_size=5, optimizer_param={"lr": 1e-30},
                verbose=False, augmentation=augmentation, capture=capture,
            )  # fmt: skip
            assert len(set(trainer.train().loss)) == different


# --- functions of one's own -----------------------------------------------------------------------------------------


@pytest.mark.bits
def test_a_function_that_says_so_is_recorded() -> None:
    @recordable
    def darker(x: Any) -> Any:
        return get_array_module(x).maximum(x - 0.25, 0)

    trainers = [trainer_of(PIXELS, darker, iterations=45, capture=capture) for capture in (True, False)]
    by_hand = trainer_of(np.maximum(FLOATS - np.float32(0.25), 0), iterations=45)
    for trainer in (*trainers, by_hand):
        trainer.train()
    assert left(trainers[0]) == left(trainers[1])
    assert same_bits(trainers[0].network.state.weights(), by_hand.network.state.weights())


class Slotted:
    __slots__ = ()

    def __call__(self, x: Any) -> Any:
        return x * 1


@pytest.mark.bits
@pytest.mark.parametrize("function", [np.abs, abs, Slotted()], ids=["a ufunc", "a builtin", "an object"])
def test_functions_without_attributes(function: Any) -> None:
    trainer, plain = trainer_of(PIXELS, function, iterations=40), trainer_of(PIXELS, iterations=40)
    trainer.train()
    plain.train()
    assert same_bits(trainer.network.state.weights(), plain.network.state.weights())


def drawn() -> Any:
    rng = np.random.default_rng(0)
    return lambda x: x + rng.random(x.shape).astype(x.dtype)


def test_what_does_not_say_so_is_called_in_each_step() -> None:
    """It may draw by itself, or look at its numbers; without a warning, for that is its right."""
    spies = [Spy(drawn()) for _ in range(2)]
    for spy, capture in zip(spies, ("auto", False), strict=True):
        trainer_of(PIXELS, spy, iterations=40, capture=capture).train()
    assert len(spies[0].calls) == len(spies[1].calls) == 41
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(spies[0].calls, spies[1].calls, strict=True))
    with pytest.raises(CaptureError, match="The augmentation may draw"):
        trainer_of(PIXELS, drawn(), iterations=40, capture=True).train()


def test_what_says_so_and_draws_by_itself_is_found_out() -> None:
    trainer = trainer_of(PIXELS, recordable(drawn()), iterations=40)
    with pytest.warns(UserWarning, match="Training steps cannot be recorded. .*n array that the step makes"):
        trainer.train()
    assert np.isfinite(trainer.train_loss_list).all()


def test_a_subclass_that_does_something_else_does_not_say_so() -> None:
    class Changed(Augmentation):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) * 2

    class Same(Augmentation):
        pass

    assert (Augmentation.recordable, Same.recordable, Changed.recordable) == (True, True, False)


class OneLevel:
    """Not of the library: an array of its own that is another in each step, and a number."""

    recordable = True

    def __init__(self) -> None:
        self.level, self.step = np.zeros(1, "float32"), 0.125

    def __call__(self, x: Any) -> Any:
        self.level = asarray(self.level, like=x) + self.step
        return x + self.level


def test_an_object_that_keeps_something() -> None:
    trainers = [trainer_of(PIXELS, OneLevel(), iterations=45, capture=capture) for capture in (True, False)]
    for trainer in trainers:
        trainer.train()
    assert left(trainers[0]) == left(trainers[1])
    assert [trainer.augmentation.level.tolist() for trainer in trainers] == [[46 * 0.125]] * 2  # and one to try it


@pytest.mark.bits
@pytest.mark.parametrize("how", ["subclass", "attribute"])
def test_a_step_of_ones_own_is_given_changed_images(how: str) -> None:
    given = []

    class Own(Trainer):
        def train_step(self, x: Any, t: Any) -> Any:
            given.append(np.array(x))
            return super().train_step(x, t)

    spy = Spy(all_of_it())
    kind = Own if how == "subclass" else Trainer
    trainer = kind(network_for(PIXELS), PIXELS, LABELS, None, None, iterations=6, mini_batch_size=10, verbose=False,
                   seed=0, augmentation=spy, optimizer_param={"lr": 0.1})  # fmt: skip
    if how == "attribute":
        step = trainer.train_step

        def own(x: Any, t: Any) -> Any:
            given.append(np.array(x))
            return step(x, t)

        trainer.train_step = own  # type: ignore[method-assign]
    del spy.calls[:]
    trainer.train()
    assert len(given) == 6
    assert all(np.array_equal(x, y) for x, (_, y) in zip(given, spy.calls, strict=True))
    plain = trainer_of(augmentation=all_of_it(), iterations=6, capture=False)
    plain.train()
    assert same_bits(trainer.network.state.weights(), plain.network.state.weights())


# --- changed on the way ---------------------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("what", ["an attribute", "another object", "none"])
def test_what_a_callback_changes_counts_from_the_next_epoch_on(capture: bool, what: str) -> None:
    def change(trainer: Trainer) -> None:
        if len(trainer.history.loss) == 6:
            if what == "an attribute":
                trainer.augmentation.shift = trainer.augmentation.rotate = trainer.augmentation.noise = 0
                trainer.augmentation.flip = False
            else:
                trainer.augmentation = None if what == "none" else Augmentation(0, 0)

    trainer = trainer_of(augmentation=all_of_it(), iterations=45, capture=capture, callbacks=[change])
    trainer.train()
    by_hand = trainer_of(augmentation=all_of_it(), iterations=6, capture=False)
    by_hand.train()
    by_hand.augmentation, by_hand.iterations = None, 39
    by_hand.train()
    assert trainer.train_loss_list == by_hand.train_loss_list
    assert same_bits(trainer.network.state.weights(), by_hand.network.state.weights())


@pytest.mark.bits
@pytest.mark.parametrize("capture", [True, False])
def test_trained_on_it_goes_on_with_other_images(capture: bool) -> None:
    twice, once = (trainer_of(augmentation=all_of_it(), iterations=n, capture=capture) for n in (36, 72))
    twice.train()
    twice.train()
    once.train()
    assert twice.train_loss_list == once.train_loss_list
    assert same_bits(twice.network.state.weights(), once.network.state.weights())


# --- where numbers cease to be finite -------------------------------------------------------------------------------


def speeding(at: int) -> Any:
    return lambda step: 1e38 if step >= at else 0.05


@pytest.mark.bits
@pytest.mark.parametrize("form", ["pixels, rows", "floats, images"])
@pytest.mark.parametrize("how", ["recorded", "called", "a step of one's own"])
@pytest.mark.parametrize("at", [0, 7, 36])
def test_a_break_is_found_in_the_same_images(form: str, how: str, at: int) -> None:
    def made(**options: Any) -> Trainer:
        options = {"optimizer": "Momentum", "optimizer_param": {"lr": speeding(at)}} | options
        return trainer_of(FORMS[form], all_of_it(), **options)

    trainer, plain = made(iterations=60, capture=how == "recorded"), made(iterations=1, capture=False)
    if how == "a step of one's own":
        step = trainer.train_step
        trainer.train_step = lambda x, t: step(x, t)  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match="Training ends at iteration") as told:
        trainer.train()
    assert len(told) == 1
    assert "did not happen again" not in str(told[0].message)
    steps = trainer.optimizer.iter
    assert at <= steps <= at + 4  # it shows when the numbers have grown for some steps
    assert f"at iteration {steps + 1}, where" in str(told[0].message)
    assert len(trainer.train_loss_list) == steps + 1
    if steps:
        plain.iterations = steps
        plain.train()
    assert left(trainer)["key"] == left(plain)["key"]
    assert same_bits(trainer.network.state.weights(), plain.network.state.weights())
    assert trainer.train_loss_list[:steps] == plain.train_loss_list


class Touchy(Augmentation):
    """Makes NaN in one step alone, by what it keeps in an array."""

    recordable = True

    def __init__(self, at: int, **options: Any) -> None:
        super().__init__(1, 10, **options)
        self.count, self.at = np.zeros(1, "float32"), at

    def __call__(self, x: Any) -> Any:
        self.count = self.count + 1
        xp = get_array_module(x)
        return super().__call__(x) + xp.where(self.count == self.at, xp.nan, 0.0).astype(x.dtype)


@pytest.mark.bits
@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("at", [1, 5, 40])
def test_not_a_number_out_of_the_augmentation_itself(capture: bool, at: int) -> None:
    # Its very first call is the one by which the trainer sees what it gives.
    trainer = trainer_of(augmentation=Touchy(at + 1, seed=0), iterations=60, capture=capture, optimizer="Adam")
    before = {key: value.copy() for key, value in trainer.network.state.weights().items()}
    with pytest.warns(UserWarning, match=rf"ends at iteration {at}, where the output of Affine1, .* is not finite"):
        trainer.train()
    plain = trainer_of(augmentation=Touchy(10**6, seed=0), iterations=max(at - 1, 1), capture=False, optimizer="Adam")
    if at > 1:
        plain.train()
    else:
        assert same_bits(trainer.network.state.weights(), before)
    assert same_bits(trainer.network.state.weights(), plain.network.state.weights())
    assert trainer.optimizer.iter == at - 1


@pytest.mark.bits
def test_dropout_and_normalization_beside_it() -> None:
    """All that is drawn and kept in a step at once, up to a break."""

    def made(**options: Any) -> Trainer:
        network = MultiLayerNet(16, [8, 8], 7, use_batchnorm=True, use_dropout=True, seed=0, backend="numpy")
        options = {"optimizer": "Adam", "optimizer_param": {"lr": speeding(5)}} | options
        return trainer_of(PIXELS, all_of_it(), network, **options)

    trainers = [made(iterations=60, capture=capture) for capture in (True, False)]
    for trainer in trainers:
        with pytest.warns(UserWarning, match="Training ends at iteration [67], "):
            trainer.train()
    assert left(trainers[0]) == left(trainers[1])
    plain = made(iterations=trainers[0].optimizer.iter, capture=False)
    plain.train()
    assert same_bits(trainers[0].network.state.weights(), plain.network.state.weights())


# --- what is refused ------------------------------------------------------------------------------------------------


def test_the_keys_do_not_depend_on_the_trainer() -> None:
    """The one call by which it is tried counts: it is the same on every backend, and of a trainer with recording."""
    augmentation, other = all_of_it(), all_of_it()
    trainer_of(augmentation=augmentation)
    other(FLOATS[:2])
    assert np.array_equal(augmentation.key, other.key)


@pytest.mark.parametrize(
    ("augmentation", "error", "says"),
    [
        (2, ArgumentError, r"augmentation must be a function .*such as `Augmentation\(shift=2\)`, got 2"),
        ("shift", ArgumentError, "augmentation must be a function .* got 'shift'"),
        (Augmentation, ArgumentError, r"augmentation must be a function .*Augmentation\(shift=2\)`, got <class"),
        ([all_of_it()], ArgumentError, r"augmentation must be a function .* got \[Augmentation"),
        (lambda x: x[:, :4], ShapeError, r"inputs of the shape and dtype .*float32 \(2, 16\), got float32 \(2, 4\)"),
        (lambda x: x.astype("float64"), ShapeError, r"float32 \(2, 16\), got float64 \(2, 16\)"),
        (lambda x: (255 * x).astype("uint8"), ShapeError, r"float32 \(2, 16\), got uint8"),
        (lambda x: x.tolist(), ShapeError, r"float32 \(2, 16\), got list"),
        (lambda x: None, ShapeError, r"float32 \(2, 16\), got NoneType"),
        (lambda x: (x, x), ShapeError, r"float32 \(2, 16\), got tuple"),
        (lambda x: asarray(x, backend="array_api_strict"), (ArrayMixError, ShapeError), "augmentation"),
        (Augmentation(image_shape=(3, 5)), ShapeError, r"^augmentation: .*got \(2, 16\) with image_shape=\(3, 5\)"),
    ],
)
def test_what_is_no_augmentation(augmentation: Any, error: Any, says: str) -> None:
    network, x = network_for(PIXELS), PIXELS.copy()
    before = {key: value.copy() for key, value in network.state.weights().items()}
    with pytest.raises(error, match=says):
        trainer_of(x, augmentation, network)
    assert same_bits(network.state.weights(), before)
    assert network.state.buffers is None
    assert np.array_equal(x, PIXELS)


def test_rows_that_are_no_squares() -> None:
    x = RNG.random((25, 12)).astype("float32")
    with pytest.raises(ShapeError, match=re.escape("image_shape=(height, width)")):
        trainer_of(x, Augmentation(), TwoLayerNet(12, 6, 7, seed=0))
    trainer_of(x, Augmentation(image_shape=(3, 4)), TwoLayerNet(12, 6, 7, seed=0), epochs=1).train()
