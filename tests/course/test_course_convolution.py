"""The programs 25 to 29 of examples/course, which train on images: what they print is so, and they draw their pictures.

Training takes its time: what runs a program whole is marked slow, and runs in the session ``course``.
"""

import pickle
import re
import sys

import numpy as np
import pytest
from course_programs import BACKENDS_OF_PROGRAMS, CONVOLUTION, check_output, runner

from xpnet import DeepConvNet
from xpnet.errors import DataError

PICTURES = {
    "25_convolution": ["activations", "filters", "learning_curves", "misclassified"],
    "26_deep_convnet": ["learning_curves", "misclassified"],
    "27_resnet": ["augmented", "resnet"],
    "28_transfer": ["transfer"],
    "29_photographs": ["learning_curves", "photographs"],
}


IMAGES = ("as they are", "augmented")


# The others take minutes where arrays are no NumPy's; what they use is compared on every backend by the matrix.
ON_EVERY_BACKEND = ("25_convolution", "29_photographs")
RUNS = [
    pytest.param(backend, name, marks=pytest.mark.slow, id=f"{backend}-{name}")
    for name in CONVOLUTION
    for backend in (BACKENDS_OF_PROGRAMS if name in ON_EVERY_BACKEND else ("numpy", "cupy"))
]


@pytest.fixture
def run_on_numpy(request, tmp_path, monkeypatch, capsys):
    """A function that runs a program with arguments of the test's own."""
    return runner(request, tmp_path, monkeypatch, capsys)


def test_every_program_has_its_check():
    assert list(CHECKS) == list(PICTURES) == CONVOLUTION


@pytest.mark.parametrize(("backend", "name"), RUNS)
def test_it_prints_what_is_so_and_draws_the_pictures(backend, name, request, tmp_path, monkeypatch, capsys):
    output = runner(request, tmp_path, monkeypatch, capsys, backend)(name)
    check_output(name, output, PICTURES[name], tmp_path)
    CHECKS[name](output)


# --- what each must print ---------------------------------------------------------------------------------------------


def found(pattern, output):
    """The numbers in the one line that fits, in which a number is written as #."""
    [numbers] = re.findall(f"^{pattern.replace('#', r'(-?[0-9.,]*[0-9])')}", output, re.MULTILINE)
    return [float(number.replace(",", "")) for number in ([numbers] if isinstance(numbers, str) else numbers)]


def losses(output):
    """The losses in the rows that the trainer prints."""
    return [float(loss) for loss in re.findall(r"^ +([\d.]+) +[\d.]+ \d{6} ", output, re.MULTILINE)]


def convolution(output):
    """The course's shapes; filters that were noise and become smooth; errors that are as many as the accuracy says."""
    for row in ("(N, 30, 24, 24) +780", r"(N, 30, 12, 12) +0", r"(N, 100) +432,100", r"(N, 10) +1,010"):
        assert re.search(row.replace("(", r"\(").replace(")", r"\)"), output)
    first, *_, last = losses(output)
    assert first == pytest.approx(np.log(10), abs=0.01)  # a guess among ten
    assert last < 0.8
    accuracy, wrong, of = found("test accuracy #: # of # images are misclassified$", output)
    assert accuracy > 0.88
    assert wrong == pytest.approx(of * (1 - accuracy), abs=0.51)
    before, after = found("correlation of neighboring weights: # before, # after$", output)
    assert abs(before) < 0.1  # 600 pairs of independent numbers: the standard deviation is 0.04
    assert after > 0.5


def deep_convnet(output):
    [layers, parameters] = found("# layers, and fewer parameters than one wide affine layer: #$", output)
    assert (layers, parameters) == (20, 123_552)
    assert losses(output)[-1] < 2.1  # a guess has log(10), and dropped scores keep it from falling fast
    accuracy, right, of = found("test accuracy #: # of # images are classified correctly$", output)
    assert accuracy > 0.7
    assert right == pytest.approx(of * accuracy, abs=0.51)


def resnet(output):
    """Every changed image is another; and of the two trainings augmentation knows its images less well by heart."""
    assert "20 images of a 5; 1 of them is unchanged\n" in output
    train, test = found("without: training accuracy #, test accuracy #$", output)
    train_with, test_with = found("with augmentation: training accuracy #, test accuracy #$", output)
    assert train_with < train
    assert min(test, test_with) > 0.7
    [times] = found("without augmentation there are # times as many errors on the test set$", output)
    assert times == pytest.approx((1 - test) / (1 - test_with), abs=0.06)


def transfer(output):
    """The convolutions that are kept learn nothing, so a step is shorter; what they know is a lead, no hindrance."""
    assert "30,596 images of 0 to 4; of 5 to 9, 250 for training and 4,861 for testing\n" in output
    assert "103,605 parameters, 18,040 frozen" in output
    assert "121,645 parameters, float" in output
    runs = {
        name: found(f"{name}: test accuracy #, # after five epochs .500 images.; a step took # ms$", output)
        for name in [f"{how}, {images}" for images in IMAGES for how in ("transfer", "from nothing")]
    }
    for images in IMAGES:
        (kept, early, _), (nothing, early_nothing, _) = (
            runs[f"{how}, {images}"] for how in ("transfer", "from nothing")
        )
        assert min(kept, nothing) > 0.75
        if " 000600 " in output:  # the network for 0 to 4 has had its full training
            assert early > early_nothing + 0.02
            assert kept > nothing - 0.01
    if " 000600 " in output:
        assert runs["transfer, augmented"][0] >= 0.93


def photographs(output):
    assert "480 photographs for training, 120 for testing: gneiss, granite, marble, sandstone\n" in output
    assert re.search(r"^Left out: marble/cut_short.jpg cannot be decoded \(.+\)$", output, re.MULTILINE)
    accuracy, classes = found("test accuracy #; a guess is correct once in #$", output)
    assert classes == 4
    assert accuracy > 0.6
    assert re.search(
        r"^gneiss/000\.jpg: (gneiss|granite|marble|sandstone), with a probability of [01]\.\d+$", output, re.M
    )


CHECKS = {
    "25_convolution": convolution,
    "26_deep_convnet": deep_convnet,
    "27_resnet": resnet,
    "28_transfer": transfer,
    "29_photographs": photographs,
}


# --- with files of one's own ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_deep_network_takes_parameters_from_a_file_in_place_of_training(run_on_numpy, mnist, tmp_path):
    network = DeepConvNet(seed=5, backend="numpy")
    path = tmp_path / "params.pkl"
    path.write_bytes(pickle.dumps({key: np.array(value) for key, value in network.params.items()}))
    output = run_on_numpy("26_deep_convnet", str(path))
    assert f"The parameters are those of {path}.\n" in output
    assert losses(output) == []
    x_test, t_test = mnist[1][0].reshape(-1, 1, 28, 28), mnist[1][1]
    expected = round(network.accuracy(x_test, t_test) * 10_000)
    assert found("test accuracy #: # of # images are classified correctly$", output)[1] == expected
    check_output("26_deep_convnet", output, ["misclassified"], tmp_path)


def test_what_is_neither_a_number_nor_a_file_of_parameters_is_named(run_on_numpy):
    with pytest.raises(DataError, match="no_such_file"):
        run_on_numpy("26_deep_convnet", "no_such_file.pkl")
    with pytest.raises(DataError, match="no_such_folder"):
        run_on_numpy("29_photographs", "no_such_folder")


def test_photographs_of_ones_own_are_learned(run_on_numpy, tmp_path):
    """Light ones and dark ones, which is easy, in a folder of one's own, whose broken file is told of."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, least in (("day", 150), ("night", 0)):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(least, least + 100, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "mine" / name / f"{i}.png")
    (tmp_path / "mine" / "day" / "0.png").write_bytes(b"")
    output = run_on_numpy("29_photographs", str(tmp_path / "mine"))
    assert "16 photographs for training, 3 for testing: day, night\n" in output
    assert "Left out: day/0.png " in output
    assert found("test accuracy #; a guess is correct once in #$", output) == [1, 2]
    assert found(r"day/1.png: day, with a probability of #$", output)[0] > 0.5
    check_output("29_photographs", output, PICTURES["29_photographs"], tmp_path)


def test_without_pillow_the_program_says_what_installs_it(run_on_numpy, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(SystemExit, match=re.escape("pip install '.[images]'")):
        run_on_numpy("29_photographs")
