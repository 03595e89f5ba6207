"""The programs 01 to 24 of examples/course: on every backend each prints the notes' figures and draws their pictures.

The slow ones, by numerical gradient or of thousands of iterations, run in the session ``course`` only: on NumPy in
full, elsewhere shortened by the program's first argument.
"""

import os
import re
from pathlib import Path

import pytest
from course_figures import FIGURES, numbers_in
from course_programs import BACKENDS_OF_PROGRAMS, CONVOLUTION, NAMES, check_output, check_source, runner, slow

PICTURES = {
    "01_gates": ["gates"],
    "02_activations": ["activations", "step_and_sigmoid"],
    "03_softmax": ["softmax"],
    "06_mnist": ["first_image", "mnist"],
    "07_inference": ["confusions", "right"],
    "08_losses": ["losses"],
    "09_numerical_gradient": ["descent", "gradient_field", "tangents"],
    "10_computational_graph": ["apples", "apples_and_oranges", "chain_rule", "sigmoid"],
    "13_softmax_with_loss": ["softmax_with_loss"],
    "15_two_layer_net": ["two_layer_net"],
    "17_training": ["learning_curves"],
    "18_without_backpropagation": ["without_backpropagation"],
    "19_prediction": ["prediction"],
    "20_optimizers": ["mnist", "paths"],
    "21_initial_weights": ["mnist", "relu", "sigmoid"],
    "22_batch_normalization": ["batch_normalization"],
    "23_overfitting": ["overfitting"],
    "24_hyperparameters": ["best", "search"],
}
TESTED = [name for name in NAMES if name not in CONVOLUTION]  # test_course_convolution.py has the others


@pytest.fixture(params=BACKENDS_OF_PROGRAMS)
def run(request, tmp_path, monkeypatch, capsys):
    """A function that runs a program on each backend."""
    return runner(request, tmp_path, monkeypatch, capsys, request.param)


@pytest.fixture(scope="session")
def sample_weight():
    """Skip where the book's pre-trained weights are not at hand."""
    folder = os.environ.get("XPNET_DATA_DIR", "")
    if not any(Path(folder, sub, "sample_weight.pkl").exists() for sub in ("", "book")):
        pytest.skip("needs the book's weights: put sample_weight.pkl into the folder that XPNET_DATA_DIR names")


def test_every_row_of_the_course_has_its_program():
    assert [name[:2] for name in NAMES] == [f"{row:02d}" for row in range(1, 30)]


def test_every_program_has_a_figure_or_a_check():
    assert {*FIGURES, *CHECKS} == set(TESTED)


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_short_and_holds_no_figure_that_it_prints(name):
    check_source(name)


@pytest.mark.parametrize("name", slow(TESTED))
def test_it_prints_the_figures_and_draws_the_pictures(name, run, tmp_path):
    output = run(name)
    check_output(name, output, PICTURES.get(name, []), tmp_path)
    CHECKS.get(name, lambda output: None)(output)


# --- what is more than a figure ---------------------------------------------------------------------------------------


def inference(output):
    assert re.search(r"batches of 100 are \d+ times as fast as one image at a time, with ", output)


def losses_by_label_form(output):
    by_index, one_hot, formula = re.findall(r"backward:\n(.*\n.*)\n|rows:\n(.*\n.*)\n", output)
    assert by_index[0] == one_hot[0]
    assert numbers_in(formula[1]) == pytest.approx(numbers_in(by_index[0]), abs=1e-8)
    assert "loss 30.0000, with the 1e-7 16.1181" in output


def three_steps(output):
    """The note's columns: loss, cumulative seconds, n in six digits, both accuracies."""
    assert re.search(r"^ *loss +time +n +\[TrainAcc\] +\[TestAcc\]$", output, re.MULTILINE)
    rows = re.findall(r"^(\d\.\d{4}) +(\d+\.\d{4}) (\d{6}) ([01]\.\d{4}) ([01]\.\d{4})$", output, re.MULTILINE)
    assert [row[2] for row in rows] == ["000001", "000002", "000003"]
    seconds = [float(row[1]) for row in rows]
    assert seconds == sorted(seconds)
    losses, train = ([float(row[i]) for row in rows] for i in (0, 3))
    assert train == sorted(train)
    if "784-50-10" in output:  # fewer hidden units learn less
        assert losses == sorted(losses, reverse=True)
        assert train[-1] > 0.2  # a guess is right one time in ten


def two_layers(output):
    for shape in ("W1: shape (784, 50)", "b1: shape (50,)", "W2: shape (50, 10)", "b2: shape (10,)"):
        assert shape in output
    assert "layers: Affine1, Relu1, Affine2\nlast_layer: SoftmaxWithLoss" in output
    (std_1, std_b1, std_2, std_b2), means = (
        [float(x) for x in re.findall(rf"{what} ([-+.\d]+)", output)] for what in ("standard deviation", "mean")
    )
    assert (std_1, std_2) == (pytest.approx(0.01, rel=0.02), pytest.approx(0.01, rel=0.15))
    assert (std_b1, std_b2, means[1], means[3]) == (0, 0, 0, 0)
    before, after = (float(x) for x in re.search(r"images: ([\d.]+) before .* ([\d.]+) after", output).groups())
    assert after < before


def gradient_check(output):
    errors = [float(x) for x in re.findall(r"^[Wb][12]: (\S+)$", output, re.MULTILINE)]
    assert len(errors) == 8
    for error, bound in zip(errors[:4], (1e-12, 4e-12, 4e-12, 5e-10), strict=True):
        assert error <= bound
    for error, note in zip(errors[4:], (3.0e-10, 1.6e-9, 4.1e-9, 1.4e-7), strict=True):
        assert note / 5 <= error <= note * 5


def training(output):
    """The notes' rows after 0, 600 and 3,600 iterations, and at the end."""
    rows = {
        int(n): (float(train), float(test)) for n, train, test in re.findall(r" (\d{6}) +([\d.]+) +([\d.]+)", output)
    }
    assert rows[0] == pytest.approx((0.1001, 0.1009), abs=0.01)
    assert rows[600] == pytest.approx((0.90, 0.905), abs=0.01)
    assert rows[3600] == pytest.approx((0.954, 0.951), abs=0.01)
    assert list(rows)[-1] == 10_000
    assert rows[10_000][0] >= 0.975
    assert rows[10_000][1] >= 0.967


def both_gradients(output):
    differences = [float(x) for x in re.findall(r"mean difference of the two gradients (\S+)", output)]
    assert len(differences) == 4
    assert max(differences[2:]) < 1e-7  # float32, of gradients around 1e-2
    assert max(differences[:2]) < 3e-5  # before the ReLU, some unit's kink may lie within h
    for name in ("backpropagation", "numerical gradient"):
        assert re.search(rf"^{name}: [\d.]+ s a step; 10,000 steps \(extrapolated\): [\d,.]+ s, ", output, re.MULTILINE)


def one_prediction(output):
    assert "shape of the scores: (1, 10)\n" in output
    assert "\nlabel: 7\nargmax: 7\n" in output


def optimizers(output):
    """SGD zigzags down the valley where the others go almost straight; on MNIST it is by far the slowest."""
    ways = re.findall(
        r"^(\w+) at lr \S+: path of length ([\d.]+), ends ([\d.]+) from the minimum$", output, re.MULTILINE
    )
    far = {name: float(length) for name, length, _ in ways}
    straight = float(re.search(r"straight path has length ([\d.]+)\.", output)[1])
    assert list(far) == ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"]
    assert far.pop("SGD") > 4 * straight
    assert straight <= max(far.values()) < 2 * straight
    assert far["AdaGrad"] < 1.1 * straight
    assert all(float(left) < 1 for *_, left in ways)
    means, lasts, accuracies = runs_in(output, r"(\w+)\(lr=\S+\)")
    assert list(means) == ["SGD", "Momentum", "AdaGrad", "Adam"]
    for others in (means, lasts):
        assert others.pop("SGD") > 1.5 * max(others.values())
    assert accuracies.pop("SGD") + 0.02 < min(accuracies.values())
    assert means["AdaGrad"] < means["Momentum"]
    assert f"By the mean loss {min(means, key=means.get)} is the fastest and SGD the slowest." in output


def runs_in(output, name):
    """The mean losses, the losses at the end and the accuracies in the test, by name."""
    pattern = rf"^{name}: mean loss ([\d.]+), of the last 100 ([\d.]+), test accuracy ([\d.]+)$"
    rows = re.findall(pattern, output, re.MULTILINE)
    return ({row[0]: float(row[i]) for row in rows} for i in (1, 2, 3))


def initial_weights(output):
    """What the book's histograms show, in numbers; and of three networks one does not learn and He's is the fastest."""
    pattern = r"^sigmoid, (\S+): in layer 5 (\d+)% .* (\d+)% within 0.1 of 0.5; standard deviation ([\d.]+)$"
    sigmoid = {row[0]: [float(x) for x in row[1:]] for row in re.findall(pattern, output, re.MULTILINE)}
    ends, middle, _ = sigmoid["1"]
    assert ends > 60
    assert middle < 10
    ends, middle, deviation = sigmoid["0.01"]
    assert (ends, middle) == (0, 100)
    assert deviation < 0.03
    ends, middle, deviation = sigmoid["xavier"]
    assert ends < 10
    assert 30 < middle < 80
    assert deviation > 0.08
    relu = {how: numbers_in(row) for how, row in re.findall(r"^relu, (\S+): .* 1 to 5: (.*)$", output, re.MULTILINE)}
    assert relu["0.01"][4] < 1e-4 * relu["0.01"][0]
    assert relu["xavier"] == sorted(relu["xavier"], reverse=True)
    assert relu["xavier"][4] < 0.5 * relu["xavier"][0]
    assert min(relu["he"]) > 0.8 * max(relu["he"])
    means, lasts, accuracies = runs_in(output, "(std 0.01|Xavier|He)")
    assert lasts["std 0.01"] > 2.29  # log(10) is the loss of a guess
    assert accuracies["std 0.01"] < 0.2
    assert means["He"] < 0.75 * means["Xavier"]
    assert lasts["He"] < 0.9 * lasts["Xavier"]
    assert accuracies["He"] > accuracies["Xavier"] > 0.4


def batch_normalization(output):
    """Without it most deviations do not learn; with it nearly all do."""
    learned = dict(re.findall(r"^(\w+)[\w ]*: (\d+ of \d+) learn ", output, re.MULTILINE))
    (without, count), (with_it, _) = (map(int, learned[name].split(" of ")) for name in ("without", "with"))
    assert count in (4, 16)
    assert without <= count / 4
    assert with_it >= 3 * count / 4
    rows = re.findall(r"^ +([01]\.\d{5}) +([01]\.\d{3}) +([01]\.\d{3})$", output, re.MULTILINE)
    assert len(rows) == count
    assert sum(float(b) > float(a) + 0.2 for _, a, b in rows) >= count / 2


def overfitting(output):
    """All three hundred are learned by heart; either means makes the gap smaller, and decay the weights."""
    pattern = r"^([a-z]+).*: ([\d.]+) in training, ([\d.]+) in the test, gap ([\d.]+); .* weights ([\d.]+)$"
    rows = {row[0]: [float(x) for x in row[1:]] for row in re.findall(pattern, output, re.MULTILINE)}
    train, _, gap, deviation = rows["neither"]
    assert train > 0.98
    assert gap > 0.2
    for name in ("weight", "dropout"):
        assert rows[name][2] < gap - 0.03
        assert rows[name][0] < 0.95
        assert rows[name][1] > 0.45
    assert rows["weight"][3] < 0.9 * deviation


def hyperparameters(output):
    """The learning rate decides, and the best lie where the book's do; the weight decay hardly matters."""
    trials = int(re.search(r"^(\d+) trials in ", output, re.MULTILINE)[1])
    table = re.findall(r"^ +(\d+) +([\d.]+) +(\S+) +(\S+) +[\d.]+$", output, re.MULTILINE)
    assert [int(row[0]) for row in table] == list(range(1, 11))
    scores = [float(row[1]) for row in table]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.6
    assert 1e-3 <= float(table[0][2]) <= 1e-2
    pattern = r"^{}: the best five from (\S+) to (\S+); correlation with the score (\S+)$"
    (low, high, by_rate), (_, _, by_decay) = (
        [float(x) for x in re.search(pattern.format(name), output, re.MULTILINE).groups()]
        for name in ("lr", "weight_decay")
    )
    assert by_rate > 0.5
    assert abs(by_decay) < by_rate - 0.2
    if trials >= 30:
        assert 1e-3 <= low < high <= 1e-2


CHECKS = {
    "07_inference": inference,
    "13_softmax_with_loss": losses_by_label_form,
    "14_simple_network": three_steps,
    "15_two_layer_net": two_layers,
    "16_gradient_check": gradient_check,
    "17_training": training,
    "18_without_backpropagation": both_gradients,
    "19_prediction": one_prediction,
    "20_optimizers": optimizers,
    "21_initial_weights": initial_weights,
    "22_batch_normalization": batch_normalization,
    "23_overfitting": overfitting,
    "24_hyperparameters": hyperparameters,
}
