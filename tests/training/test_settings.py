"""Whatever a user sets, before a training or in a callback, takes effect, recorded and plain, or is refused."""

import copy
import inspect

import numpy as np
import pytest
from small_training import LABELS, PIXELS, make

import xpnet
from xpnet import (
    SGD,
    Augmentation,
    Callback,
    CosineDecay,
    IdentityWithLoss,
    Layer,
    MultiLayerNet,
    Network,
    Relu,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    StepDecay,
    Trainer,
    TwoLayerNet,
)
from xpnet.errors import XpnetError

ROWS = np.resize(PIXELS, (25, 16))


def trained(change=None, *, capture, prepare=None, network=None, before=False, **options):
    """A training in which `change` is made after two epochs, or before the first; returns what came of it."""
    network = network or MultiLayerNet(16, [6], 7, use_batchnorm=True, use_dropout=True, seed=0)

    def callback(trainer):
        if change and not before and len(trainer.history.evaluated_at) == 3:
            change(trainer)

    options = {"mini_batch_size": 10, "verbose": False, "seed": 0, "epochs": 6, "validation": 0.2} | options
    trainer = Trainer(network, ROWS, LABELS, ROWS[:5], LABELS[:5], callbacks=[callback], capture=capture, **options)
    if before:
        change(trainer)
    trainer.train()
    return trainer


def result(trainer):
    history = trainer.history
    return history.loss, history.evaluated_at, history.train_acc, history.val_loss


def assert_takes_effect(change, **options):
    """It changes the training, recorded and plain alike, from where it is made and before the first step."""
    for before in (False, True):
        recorded, plain = (
            trained(change, capture=capture, before=before, **fresh(options)) for capture in (True, False)
        )
        assert result(recorded)[0] == result(plain)[0]
        assert result(recorded) == result(plain)
        unchanged = trained(capture=True, **fresh(options))
        assert result(recorded) != result(unchanged)
        if not before:
            assert recorded.history.loss[:4] == unchanged.history.loss[:4]


def fresh(options):
    return {
        name: value() if name in ("network", "optimizer", "augmentation") else value for name, value in options.items()
    }


# --- a trainer ------------------------------------------------------------------------------------------------------

TAKES_EFFECT = {
    "iterations": 7,
    "optimizer": lambda _: SGD(0.5),
    "callbacks": lambda trainer: [*trainer.callbacks, lambda trainer: setattr(trainer.optimizer, "lr", 0.5)],
    "evaluate_sample_num_per_epoch": 3,
    "augmentation": lambda _: Augmentation(1, 10, seed=0),
    "sampling": "choice",
    "train_step": lambda trainer: lambda x, t: Trainer.train_step(trainer, 0.5 * x, t),
}
ONLY_HOW = {"capture": False, "verbose": True}  # these change no number
FIXED = [
    "network",
    "x_train",
    "t_train",
    "x_test",
    "t_test",
    "mini_batch_size",
    "drop_last",
    "train_size",
    "iterations_per_epoch",
    "history",
    "runner",
    "validation",
    "train_loss_list",
    "train_acc_list",
    "test_acc_list",
]
ARE_METHODS = {"train", "stop", "say"}
NOT_KEPT = {"self", "epochs", "optimizer_param", "seed"}  # arguments of the constructor alone


def test_the_tables_are_complete():
    public = {name for name in dir(make()) if not name.startswith("_")}
    assert public == {*TAKES_EFFECT, *ONLY_HOW, *FIXED, *ARE_METHODS}
    assert set(inspect.signature(Trainer.__init__).parameters) <= public | NOT_KEPT


@pytest.mark.parametrize("name", TAKES_EFFECT)
def test_of_a_trainer_it_takes_effect(name):
    def change(trainer):
        value = TAKES_EFFECT[name]
        setattr(trainer, name, value(trainer) if callable(value) else value)

    for before in (False, True):
        one, other = trained(change, capture="auto", before=before), trained(change, capture=False, before=before)
        assert result(one) == result(other) != result(trained(capture=False))


@pytest.mark.parametrize("name", ONLY_HOW)
def test_how_a_trainer_works_takes_effect_and_changes_no_number(name, capsys):
    recorded = []

    def change(trainer):
        setattr(trainer, name, ONLY_HOW[name])
        trainer.callbacks.append(lambda trainer: recorded.append(trainer.runner._steps.recorded))

    plain = trained(capture="auto")
    assert capsys.readouterr().out == ""
    trainer = trained(change, capture=True)
    assert result(trainer) == result(plain)
    assert getattr(trainer, name) is ONLY_HOW[name]
    assert set(recorded[1:]) == {name != "capture"}
    assert bool(capsys.readouterr().out) == (name == "verbose")


def test_recorded_steps_that_are_not_fused_change_no_number():
    def change(trainer):
        trainer.runner.fuses = False

    assert result(trained(change, capture=True)) == result(trained(capture=True))


@pytest.mark.parametrize("name", FIXED)
def test_what_is_fixed_is_refused_and_nothing_changes(name):
    def change(trainer):
        with pytest.raises((XpnetError, AttributeError), match="cannot be changed|no setter|can't set"):
            setattr(trainer, name, getattr(trainer, name))

    assert result(trained(change, capture=True)) == result(trained(capture=True))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("iterations", 0, "iterations must be"),
        ("iterations", "many", "iterations must be"),
        ("optimizer", "Adamant", "There is no optimizer 'Adamant'"),
        ("optimizer", SGD, "got the class"),
        ("callbacks", lambda trainer: None, "callbacks must be a list"),
        ("callbacks", ["stop"], "callbacks must be functions"),
        ("evaluate_sample_num_per_epoch", -1, "evaluate_sample_num_per_epoch must be"),
        ("augmentation", Augmentation, "augmentation must be a function"),
        ("augmentation", lambda x: x[:1], "augmentation must give"),
        ("sampling", "random", "sampling must be 'shuffle' or 'choice', got 'random'"),
        ("sampling", None, "sampling must be"),
        ("capture", "always", "capture must be 'auto', True or False, got 'always'"),
        ("capture", 1, "capture must be"),
        ("capture", np.zeros(2), "capture must be"),
    ],
)
def test_a_value_that_cannot_be_is_refused_when_it_is_set(name, value, says):
    trainer = make()
    before = getattr(trainer, name)
    with pytest.raises(XpnetError, match=says):
        setattr(trainer, name, value)
    assert getattr(trainer, name) is before


def test_the_remedy_for_what_is_fixed():
    trainer = make(epochs=1)
    trainer.train()
    with pytest.raises(XpnetError) as told:
        trainer.mini_batch_size = 5
    code = str(told.value).split("`")[-2]
    names = {"x_train": PIXELS, "t_train": LABELS, "x_test": PIXELS, "t_test": LABELS}
    another = eval(code, {"Trainer": Trainer, "trainer": trainer, **names})
    assert len(another.train().loss) == 20
    assert another.network is trainer.network
    assert trainer.optimizer.iter == 3 + 20


SOFT = np.full((25, 7), 1 / 7)
TARGETS = np.random.default_rng(0).random((25, 7))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("last_layer", "t", "other", "says"),
    [
        (
            SoftmaxWithLoss(),
            LABELS,
            SigmoidWithLoss(),
            r"Expected targets of the outputs' shape \(25, 7\), got \(25,\)",
        ),
        (SoftmaxWithLoss(), np.eye(7)[LABELS], SigmoidWithLoss(), "Expected targets of the outputs' shape"),
        (
            SoftmaxWithLoss(),
            SOFT,
            IdentityWithLoss(),
            r"with SoftmaxWithLoss\(\) cannot go on with IdentityWithLoss\(\)",
        ),
        (SigmoidWithLoss(), TARGETS, SoftmaxWithLoss(), "Expected rows of labels that are probabilities"),
        (IdentityWithLoss(), TARGETS, SigmoidWithLoss(), "cannot go on with"),
    ],
)
def test_a_last_layer_that_the_targets_do_not_fit_is_refused(last_layer, t, other, says, before):
    def change(trainer):
        trainer.network.last_layer = other

    network = MultiLayerNet(16, [6], 7, seed=0)
    network.last_layer = last_layer
    trainer = Trainer(network, ROWS, t, None, None, mini_batch_size=7, verbose=False, callbacks=[change])  # 7 rows of 7
    if before:
        change(trainer)
    with pytest.raises(XpnetError, match=says):
        trainer.train()
    assert trainer.history.loss == []


def test_a_last_layer_that_the_targets_fit_takes_effect():
    def change(trainer):
        trainer.network.last_layer = SoftmaxWithLoss(label_smoothing=0.2)

    assert_takes_effect(change)


def test_an_optimizer_of_that_name_is_made():
    trainer = make()
    trainer.optimizer = "momentum"
    assert isinstance(trainer.optimizer, xpnet.Momentum)


@pytest.mark.parametrize("before", [True, False])
def test_iterations_are_those_of_the_whole_training(before):
    def change(trainer):
        trainer.iterations = 9

    assert len(trained(change, capture=True, before=before).history.loss) == 9

    def fewer(trainer):
        trainer.iterations = 1

    assert len(trained(fewer, capture=True, before=before).history.loss) == (1 if before else 4)


def test_a_callback_that_is_added_under_way_begins_and_finishes():
    told = []

    class Added(Callback):
        def on_train_begin(self, trainer):
            told.append(("begin", len(trainer.history.loss)))

        def on_evaluation(self, trainer):
            told.append(("call", len(trainer.history.loss)))

        def on_train_end(self, trainer):
            told.append(("finish", len(trainer.history.loss)))

    added = Added()

    def add(trainer):
        if len(trainer.history.loss) == 3:
            trainer.callbacks.append(added)

    make(epochs=3, callbacks=[add]).train()
    assert told == [("begin", 6), ("call", 6), ("call", 9), ("finish", 9)]


# --- an optimizer ---------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": {},
    "Momentum": {"momentum": 0.5},
    "Nesterov": {"momentum": 0.5},
    "AdaGrad": {"eps": 0.1},
    "RMSprop": {"eps": 0.1, "decay_rate": 0.5},
    "Adam": {"eps": 0.1, "beta1": 0.5, "beta2": 0.5},
    "AdamW": {"eps": 0.1, "beta1": 0.5, "beta2": 0.5},
}
OF_ALL = {"lr": 0.3, "weight_decay": 0.2, "max_norm": 0.01}
OF_OPTIMIZERS = [(kind, name, v) for kind, own in OPTIMIZERS.items() for name, v in (OF_ALL | own).items()]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_table_of_optimizers_is_complete(kind):
    arguments = set(inspect.signature(getattr(xpnet, kind)).parameters)
    assert arguments == set(OF_ALL | OPTIMIZERS[kind])


@pytest.mark.parametrize(("kind", "name", "value"), OF_OPTIMIZERS)
@pytest.mark.parametrize("form", [float, np.float64], ids=["a float", "a float of NumPy's"])
def test_of_an_optimizer_it_takes_effect(kind, name, value, form):
    def change(trainer):
        setattr(trainer.optimizer, name, form(value))

    assert_takes_effect(change, optimizer=lambda: getattr(xpnet, kind)(0.05))


@pytest.mark.parametrize("schedule", [CosineDecay(0.3, steps=10), StepDecay(0.3, 2), lambda step: 0.3 / (1 + step)])
def test_a_schedule_takes_effect(schedule):
    assert_takes_effect(lambda trainer: setattr(trainer.optimizer, "lr", schedule), optimizer=lambda: SGD(0.05))


@pytest.mark.parametrize("schedule", [CosineDecay(0.3, steps=10), StepDecay(0.3, 2)])
def test_schedules_cannot_be_changed(schedule):
    with pytest.raises(AttributeError, match="cannot assign to field 'lr'"):
        schedule.lr = 0.1


def test_the_step_that_an_optimizer_counts_takes_effect():
    assert_takes_effect(
        lambda trainer: setattr(trainer.optimizer, "iter", 8), optimizer=lambda: SGD(CosineDecay(0.3, steps=12))
    )


# --- an augmentation, layers, the loss ------------------------------------------------------------------------------

AUGMENTATION = {"shift": 0.5, "rotate": 45.0, "noise": 0.5, "flip": True, "image_shape": (2, 8),
                "key": np.array([7], dtype="int32")}  # fmt: skip


@pytest.mark.parametrize("name", AUGMENTATION)
def test_of_an_augmentation_it_takes_effect(name):
    assert set(inspect.signature(Augmentation).parameters) <= {*AUGMENTATION, "seed"}
    assert_takes_effect(
        lambda trainer: setattr(trainer.augmentation, name, copy.copy(AUGMENTATION[name])),
        augmentation=lambda: Augmentation(1, 5, 0.01, seed=0),
    )


@pytest.mark.parametrize("form", [float, np.float32, np.float64])
@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        ("Dropout1", "dropout_ratio", 0.25),
        ("BatchNormalization1", "eps", 0.5),
        ("last_layer", "label_smoothing", 0.25),
        ("network", "weight_decay_lambda", 0.25),
    ],
)
def test_of_a_layer_it_takes_effect(layer, name, value, form):
    def change(trainer):
        network = trainer.network
        owner = network if layer == "network" else network.layers.get(layer, network.last_layer)
        setattr(owner, name, form(value / 2))
        trainer.callbacks.append(lambda _: setattr(owner, name, form(value)))

    assert_takes_effect(change)


class Scaled(Layer):
    """Reads all that a layer may keep."""

    recordable = True
    limit = np.inf

    def __init__(self):
        self.scale, self.pair, self.function, self.none = np.ones(6, "float32"), (1.0, 0.0), abs, None
        self.listed, self.named = [1.0, 1.0], {"factor": 1.0}

    def forward(self, x):
        self.kept = x  # as others do for their backward
        y = x * self.scale * self.pair[0] * self.function(-1.0) * self.listed[1] * self.named["factor"]
        return y * (1.0 if self.none is None else self.none) * min(self.limit, 1.0)

    def backward(self, dout):
        return dout


def network_with_scaled():
    first, _, last = copy.deepcopy(list(TwoLayerNet(16, 6, 7, 0.5, seed=0).layers.values()))
    return Network([first, Scaled(), Relu(), last])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", np.full(6, 0.5, "float32")),
        ("pair", (0.5, 0.0)),
        ("function", lambda x: 0.5),
        ("none", 0.5),
        ("listed", [1.0, 0.5]),
        ("named", {"factor": 0.5}),
        ("limit", 0.5),
    ],
)
def test_of_a_layer_of_ones_own_it_takes_effect(name, value):
    assert_takes_effect(
        lambda trainer: setattr(trainer.network.layers["Scaled1"], name, value), network=network_with_scaled
    )


def test_data_changed_in_their_places_take_effect():
    """A trainer keeps NumPy arrays of the network's dtype as they are: what is written into them is trained on."""

    def spoil(trainer):
        trainer.t_train[...] = 0

    assert_takes_effect(spoil, network=lambda: TwoLayerNet(16, 6, 7, 0.5, seed=0))


def test_nothing_is_recorded_again_where_nothing_is_set(monkeypatch):
    made, init = [], xpnet.engine.replay.NumpyReplayer.__init__

    def counted(self, *arguments):
        made.append(self)
        init(self, *arguments)

    monkeypatch.setattr("xpnet.engine.replay.NumpyReplayer.__init__", counted)
    for network in (None, network_with_scaled()):
        made.clear()
        trained(capture=True, optimizer="Adam", network=network, augmentation=Augmentation(1, 10, 0.1, seed=0))
        assert len(made) == 1
