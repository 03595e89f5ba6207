"""Classes with names: words as labels, kept with the network, saved, and given back by `predict_labels`."""

import copy
import json
import pickle

import numpy as np
import pytest
from cases import numbers
from safetensors.numpy import save_file
from small_training import LABELS, PIXELS

from xpnet import (
    Affine,
    BestModel,
    EarlyStopping,
    IdentityWithLoss,
    Network,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
    to_numpy,
    with_new_head,
)
from xpnet.errors import ArgumentError, DataError, LabelError, ShapeError, XpnetError

NAMES = np.array(["fox", "bee", "cat", "dog", "eel", "ant", "gnu"])  # not sorted
WORDS = NAMES[LABELS]
SORTED = tuple(sorted(NAMES.tolist()))


def network(outputs=7, **options):
    return TwoLayerNet(12, 6, outputs, "he", seed=0, **options)


def train(net, t=WORDS, t_test=None, **options):
    options = {"epochs": 2, "mini_batch_size": 5, "verbose": False, "seed": 0} | options
    x_test = None if t_test is None else PIXELS
    trainer = Trainer(net, PIXELS, t, x_test, t_test, **options)
    trainer.train()
    return trainer


@pytest.mark.bits
@pytest.mark.parametrize("kind", [str, object, np.dtypes.StringDType()])
def test_words_train_as_their_indices(be, kind):
    words, indices = (network(dtype=be.dtype, backend=be.backend) for _ in range(2))
    t = np.searchsorted(SORTED, WORDS)  # scikit-learn's LabelEncoder
    by_words = train(words, WORDS.astype(kind), WORDS.astype(kind), validation=(PIXELS, WORDS))
    by_index = train(indices, t, t, validation=(PIXELS, t))
    assert by_words.history.loss == by_index.history.loss
    assert by_words.history.test_acc == by_index.history.test_acc
    assert by_words.history.val_loss == by_index.history.val_loss
    assert words.classes == SORTED
    assert indices.classes is None
    x = be.put(PIXELS)
    predicted = words.predict_labels(x)
    assert predicted.tolist() == [SORTED[i] for i in indices.predict_labels(x)]
    assert predicted.tolist() == [SORTED[i] for i in to_numpy(indices.predict(x)).argmax(axis=1)]
    assert np.mean(predicted == WORDS) == pytest.approx(words.accuracy(x, be.put(t)))
    assert words.accuracy(x, WORDS.astype(kind)) == words.accuracy(x, be.put(t))
    assert float(words.loss(x, WORDS)) == float(words.loss(x, be.put(t)))
    for key, grad in words.gradient(x, WORDS).items():
        np.testing.assert_array_equal(to_numpy(grad), to_numpy(words.gradient(x, be.put(t))[key]))


def test_one_sample():
    net = network()
    train(net)
    label = net.predict_labels(PIXELS[0])
    assert type(label) is str
    assert label == net.predict_labels(PIXELS)[0]
    assert float(net.loss(PIXELS[0], "cat")) == float(net.loss(PIXELS[:1], np.array([2])))
    net.classes = None
    assert type(net.predict_labels(PIXELS[0])) is int


@pytest.mark.parametrize("kind", [str, object])
def test_digits_are_in_the_order_of_their_numbers(kind):
    t = np.arange(25) % 12
    by_words, by_index = network(12), network(12)
    train(by_words, t.astype(str).astype(kind), t)
    assert by_words.classes == tuple(map(str, range(12)))
    train(by_index, t)
    assert all((by_words.params[key] == value).all() for key, value in by_index.params.items())
    assert by_words.accuracy(PIXELS, t.astype(str)) == by_words.accuracy(PIXELS, t)
    others = network(13)
    train(others, np.array([*(t[:-1] + 1).astype(str), "x"]))
    assert others.classes == tuple(sorted([*map(str, range(1, 13)), "x"]))  # as words


@pytest.mark.parametrize("kind", [list, tuple])
def test_words_in_a_list(kind):
    net = network()
    net.classes = SORTED
    assert float(net.loss(PIXELS, kind(WORDS.tolist()))) == float(net.loss(PIXELS, WORDS))
    assert net.accuracy(PIXELS, kind(WORDS.tolist())) == net.accuracy(PIXELS, WORDS)


def test_classes_that_are_set_decide_the_order():
    net = network()
    net.classes = NAMES
    assert net.classes == tuple(NAMES.tolist())
    train(net)
    plain = network()
    train(plain, LABELS)
    assert all((net.params[key] == value).all() for key, value in plain.params.items())
    train(net, WORDS[WORDS != "ant"][:3].repeat(9)[:25])  # not all need be in every training
    train(net, LABELS)  # indices are indices
    assert net.classes == tuple(NAMES.tolist())


def test_they_are_copied_pickled_and_saved(tmp_path):
    net = network()
    train(net)
    for twin in (net.copy(), copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.to(dtype="float64")):
        assert twin.classes == SORTED
    net.save(tmp_path / "weights")
    other = network(dtype="float64")
    other.classes = NAMES  # the outputs are those of the weights, and so are their names
    assert other.load(tmp_path / "weights").classes == SORTED
    assert other.predict_labels(PIXELS).tolist() == net.predict_labels(PIXELS).tolist()
    network(dtype="float64").save(tmp_path / "without")
    assert other.load(tmp_path / "without").classes == SORTED
    assert network(dtype="float64").load(tmp_path / "without").classes is None
    head = Affine.create(6, 7, rng=0, dtype="float64", backend="numpy")
    assert with_new_head(net, [head], keep="Relu1").classes is None


def test_names_in_any_language_are_saved(tmp_path):
    net = network(outputs=2)
    net.classes = ['고양이 "집"', "chien\n🐕"]
    net.save(tmp_path / "weights")
    assert network(outputs=2).load(tmp_path / "weights").classes == ('고양이 "집"', "chien\n🐕")


def test_callbacks_keep_them(tmp_path):
    net = network()
    train(net, validation=0.2, callbacks=[EarlyStopping(1), BestModel(tmp_path / "best")])
    assert net.classes == network().load(tmp_path / "best").classes == SORTED


WRONG = {
    "too few": (WORDS[WORDS != "ant"][:3].repeat(9)[:25], None, ArgumentError, r"^t_train: Expected 7 classes, "),
    "unknown in the test set": (WORDS, np.where(WORDS == "cat", "cow", WORDS), LabelError, r"^t_test: .*got 'cow'"),
    "numbers and words": (LABELS, WORDS, XpnetError, r"^t_test: "),
    "a column": (WORDS[:, None], None, ShapeError, r"^t_train: Expected a word for each sample, .*got \(25, 1\)"),
    "numbers as text": (np.eye(7)[LABELS].astype(str), None, ShapeError, r"^t_train: .*astype\('float64'\)"),
    "missing": (np.where(WORDS == "cat", None, WORDS), None, LabelError, "^t_train: Expected words as .*, got None"),
}  # fmt: skip


@pytest.mark.parametrize(("t", "t_test", "error", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_is_refused_and_leaves_the_network_as_it_was(t, t_test, error, says):
    net = network()
    with pytest.raises(error, match=says):
        train(net, t, t_test)
    assert net.classes is None


@pytest.mark.parametrize("wrong", [{"augmentation": 3}, {"epochs": 0}, {"iterations": 0}, {"drop_last": 2}])
def test_a_trainer_that_could_not_be_made_gives_no_classes(wrong):
    net = network()
    with pytest.raises(ArgumentError):
        train(net, **wrong)
    assert net.classes is None


@pytest.mark.parametrize("last_layer", [SoftmaxWithLoss(), SigmoidWithLoss(), IdentityWithLoss()])
def test_a_file_whose_classes_do_not_fit_changes_nothing(last_layer, tmp_path):
    net = Network([Affine.create(12, 2, rng=0, backend="numpy")], last_layer)
    arrays = {key: to_numpy(value) + 1 for key, value in net.state.weights().items()}
    classes = ["a", "b", "c"] if last_layer.classifies else ["a", "b"]
    save_file(arrays, tmp_path / "weights.safetensors", metadata={"classes": json.dumps(classes)})
    before = net.state.weights()
    with pytest.raises(DataError, match="names of classes in the file do not fit the network"):
        net.load(tmp_path / "weights.safetensors")
    assert all(np.array_equal(value, before[key]) for key, value in net.state.weights().items())
    assert net.classes is None


def test_words_for_a_network_without_classes():
    net = network()
    with pytest.raises(XpnetError):
        net.loss(PIXELS, WORDS)
    net.classes = SORTED
    with pytest.raises(LabelError, match=r"among the network's classes, 'ant', 'bee'.*got 'cow' at index 0 \(25 of 25"):
        net.loss(PIXELS, np.array(["cow"] * 25))


@pytest.mark.parametrize(("classes", "says"), [
    ("cat", "must be a list of words"), ([], "must be a list"), ([1, 2, 3, 4, 5, 6, 7], "must be a list of words"),
    (["a"] * 7, "got 'a' twice"), (["a", "b"], r"Expected 7 classes, one for .*, got 2: 'a', 'b'"),
    (7, "must be a list"),
])  # fmt: skip
def test_classes_that_make_no_sense(classes, says):
    net = network()
    with pytest.raises(ArgumentError, match=says):
        net.classes = classes
    assert net.classes is None


@pytest.mark.parametrize(("last_layer", "instead"), [
    (SigmoidWithLoss(), r"`network.predict_proba\(x\) > 0.5`"), (IdentityWithLoss(), r"`network.predict\(x\)`"),
])  # fmt: skip
def test_outputs_that_are_no_classes(last_layer, instead):
    net = Network([Affine(numbers(0, 12, 2), np.zeros(2))], last_layer)
    with pytest.raises(ArgumentError, match=instead):
        net.predict_labels(numbers(1, 3, 12))
    with pytest.raises(ArgumentError, match=r"`SoftmaxWithLoss\(\)`"):
        net.classes = ["a", "b"]
    with pytest.raises(XpnetError):
        Trainer(net, numbers(1, 25, 12), WORDS, None, None)


def test_scores_that_are_nan_have_no_class():
    net = Network([Affine(np.full((2, 2), np.nan), np.zeros(2))], SoftmaxWithLoss())
    warned = pytest.warns(RuntimeWarning, match="The output of Affine1, .*, is not finite")
    with warned, pytest.raises(DataError, match="3 of 3 samples are NaN"):
        net.predict_labels(np.ones((3, 2)))
