"""The training loop: what it samples, what it computes, and that it learns."""

import numpy as np
import pytest
from cases import numbers, two_layer
from small_training import LABELS, PIXELS, batches, make

from xpnet import SGD, IdentityWithLoss, Sigmoid, SimpleNetwork, Trainer, TwoLayerNet, asarray, load_digits, to_numpy


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


@pytest.mark.bits
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
    assert len(history.evaluated_at) == 21


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


# --- what an optimizer counts ---------------------------------------------------------------------------------------


def schedule(step):
    """A rate that is another one in each step."""
    return 0.05 * 0.99**step


@pytest.mark.bits
@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("name", ["Momentum", "Adam"])
def test_a_second_trainer_with_the_same_optimizer_goes_on_counting(name, capture):
    once = make(epochs=14, optimizer=name, optimizer_param={"lr": schedule}, capture=capture, seed=4)
    once.train()
    first = make(epochs=10, optimizer=name, optimizer_param={"lr": schedule}, capture=capture, seed=4)
    first.train()
    assert first.optimizer.iter == 30
    second = make(first.network, epochs=4, optimizer=first.optimizer, capture=capture)
    second.runner._rng = first.runner._rng  # so that the samples go on too
    second.train()
    assert first.optimizer.iter == once.optimizer.iter == 42
    assert first.train_loss_list + second.train_loss_list == once.train_loss_list
    for key, value in once.network.params.items():
        assert value.tobytes() == second.network.params[key].tobytes()


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_each_step_counts_once(be, name, own):
    network = TwoLayerNet(12, 6, 7, seed=0, dtype=be.dtype, backend=be.backend)
    trainer = make(network, iterations=8, optimizer=name, optimizer_param={"lr": schedule})
    seen, step = [], trainer.train_step
    if own:
        trainer.train_step = lambda x, t: seen.append(trainer.optimizer.iter) or step(x, t)
    trainer.train()
    trainer.train()
    assert trainer.optimizer.iter == 16
    assert seen == (list(range(16)) if own else [])


@pytest.mark.bits
@pytest.mark.parametrize("capture", [True, False])
def test_a_step_of_ones_own_trains_alike(capture):
    own, plain = (
        make(epochs=12, optimizer="Adam", optimizer_param={"lr": schedule}, capture=capture and "auto")
        for _ in range(2)
    )
    step = own.train_step
    own.train_step = lambda x, t: step(x, t)
    assert own.train().loss == plain.train().loss
    assert own.optimizer.iter == plain.optimizer.iter == 36


class CourseAdam:
    """As the course writes it: it counts by itself, and makes its moments in the first step."""

    def __init__(self, lr=0.01):
        self.lr, self.iter, self.m, self.v = lr, 0, None, None

    def update(self, params, grads):
        if self.m is None:
            self.m, self.v = ({key: np.zeros_like(value) for key, value in params.items()} for _ in range(2))
        self.iter += 1
        rate = self.lr * np.sqrt(1.0 - 0.999**self.iter) / (1.0 - 0.9**self.iter)
        for key in params:
            self.m[key] += 0.1 * (grads[key] - self.m[key])
            self.v[key] += 0.001 * (grads[key] ** 2 - self.v[key])
            params[key] -= np.float32(rate) * self.m[key] / (np.sqrt(self.v[key]) + 1e-7)


def test_an_optimizer_that_counts_by_itself_counts_on():
    optimizer, first = CourseAdam(), []
    network = TwoLayerNet(12, 6, 7, seed=0)
    for trainer in (make(network, iterations=7, optimizer=optimizer, capture=False) for _ in range(2)):
        first += trainer.train().loss
    assert optimizer.iter == 14
    again, by_hand = CourseAdam(), TwoLayerNet(12, 6, 7, seed=0)
    losses = []
    for _ in range(2):
        for indices in batches(make(TwoLayerNet(12, 6, 7, seed=0), iterations=7)):
            x, t = PIXELS[indices], LABELS[indices]
            losses.append(float(by_hand.loss(x, t)))
            again.update(by_hand.params, by_hand.gradient(x, t))
    np.testing.assert_allclose(first, losses, rtol=1e-5)


def test_an_optimizer_put_in_by_a_callback_is_the_one_that_counts():
    def change(trainer):
        if len(trainer.history.evaluated_at) == 3:
            trainer.optimizer = SGD(schedule)

    trainer = make(epochs=5, optimizer="Adam", callbacks=[change])
    before = trainer.optimizer
    trainer.train()
    assert (before.iter, trainer.optimizer.iter) == (6, 9)


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


def test_without_a_rate_each_optimizer_has_its_own():
    network, data = TwoLayerNet(12, 6, 7), (PIXELS, LABELS, PIXELS, LABELS)
    assert [Trainer(network, *data, optimizer=name).optimizer.lr for name in ("SGD", "adam")] == [0.01, 0.001]


def test_the_test_set_may_be_left_out():
    with_none = make(epochs=1)
    trainer = Trainer(with_none.network.copy(), with_none.x_train, with_none.t_train, epochs=1, verbose=False)
    assert (trainer.x_test, trainer.t_test) == (None, None)
    assert trainer.train().test_acc == []
