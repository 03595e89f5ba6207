"""The figures that the course prints, and where each program of examples/course prints its own.

An entry is the beginning of a line that the program prints, and the numbers that must follow it on that line, to the
digits shown here, which are the digits that the notes show. No program holds any of them: each is computed.
"""

import re

SHORTER = {
    "14_simple_network": "5",  # hidden units
    "18_without_backpropagation": "5",  # hidden units
    "20_optimizers": "300",  # iterations
    "21_initial_weights": "300",  # iterations
    "22_batch_normalization": "4",  # standard deviations
    "23_overfitting": "100",  # epochs
    "24_hyperparameters": "10",  # trials
    "25_convolution": "200",  # iterations
    "26_deep_convnet": "60",  # iterations
    "27_resnet": "6",  # epochs
    "28_transfer": "100",  # iterations of the first network
    "29_photographs": "10",  # epochs
}
"""First arguments that make long programs short, for where it matters that they run: their full runs are on NumPy."""

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")

FIGURES: dict[str, list[tuple[str, str]]] = {
    "01_gates": [
        ("XOR(0, 0) =", "0"), ("XOR(0, 1) =", "1"), ("XOR(1, 0) =", "1"), ("XOR(1, 1) =", "0"),
        ("AND(0, 1) =", "0"), ("AND(1, 1) =", "1"), ("OR(0, 0) =", "0"), ("OR(0, 1) =", "1"),
        ("NAND(0, 1) =", "1"), ("NAND(1, 1) =", "0"), ("XOR([0 0 1 1], [0 1 0 1]) =", "0 1 1 0"),
    ],
    "02_activations": [("sigmoid([0.3, 0.7, 1.1]) =", "0.57444252 0.66818777 0.75026011")],
    "03_softmax": [
        ("softmax([1, 2]) =", "0.26894142 0.73105858"), ("softmax([10, 20]) =", "0.0000453978687 0.999954602"),
        ("std_norm([1, 2]) =", "0.3333333333333333 0.6666666666666666"),
        ("std_norm([10, 20]) =", "0.3333333333333333 0.6666666666666666"),
    ],
    "04_arrays": [
        ("[1, 2, 3, 4]: ndim", "1 4"), ("[[1, 2], [3, 4], [5, 6]]: ndim", "2 3 2"),
        ("[[1,2],[3,4]] + [[5,6],[7,8]] =", "6 8 10 12"), ("2 * [[1,2],[3,4]] =", "2 4 6 8"),
        ("[[1,2],[3,4]] . [[5,6],[7,8]] =", "19 22 43 50"),
        ("[[1,2,3],[4,5,6]] . [[1,2],[3,4],[5,6]] =", "22 28 49 64"), ("[1,2] . [[1,3,5],[2,4,6]] =", "5 11 17"),
        ("0       scalar", "1.5"), ("1       vector", "3 1 2 3"), ("2       matrix", "3 2 1 2 3 4 5 6"),
    ],
    "05_three_layer_network": [
        ("A1 =", "0.3 0.7 1.1"), ("Z1 =", "0.57444252 0.66818777 0.75026011"), ("A2 =", "0.51615984 1.21402696"),
        ("Z2 =", "0.62624937 0.7710107"), ("A3 =", "0.45655308 0.9757311"), ("Y =", "0.37304446 0.62695554"),
    ],
    "06_mnist": [
        ("load_mnist(normalize=False):", "60000 784 60000 10000 784 10000"),
        ("load_mnist(flatten=False):", "60000 1 28 28 10000 1 28 28"),
        ("load_mnist(one_hot_label=True):", "60000 10 10000 10"),
        ("pixels from", "0 255 0 5 0 7"), ("load_mnist(normalize=True): pixels from", "0 1"),
    ],
    "07_inference": [
        ("   one at a time: accuracy", "0.9352"), ("  batches of 100: accuracy", "0.9352"),
        ("     all at once: accuracy", "0.9352"),
    ],
    "08_losses": [
        ("mean squared error =", "0.1441"), ("cross entropy =", "0.67334"),
        ("cross entropy, label as an index =", "0.67334"), ("cross entropy of a batch of two =", "0.67334"),
    ],
    "09_numerical_gradient": [
        ("slope of function_1 at 5.0:", "0.2"), ("slope of function_1 at 10.0:", "0.3"),
        ("gradient of function_2 at [3.0, 4.0]:", "6 8"), ("gradient of function_2 at [0.0, 2.0]:", "0 4"),
    ],
    "10_computational_graph": [
        ("price:", "220"), ("dApple_price:", "1.1"), ("dApple: 2.2, dApple_num: 110, dTax:", "200"), ("dApple:", "2.2"),
        ("price:", "715"), ("dOrange:", "3.3000000000000003 165 650"), ("dz/dx:", "14"),
    ],
    "11_activation_layers": [
        ("Relu().forward(x) =", "1 0 0 3"), ("Relu().backward(dout) =", "-0.1 0 0 -1.8"),
        ("dout afterwards, unchanged =", "-0.1 3.0 1.3 -1.8"),
    ],
    "12_affine": [("dB =", "5 7 9"), ("Affine.db =", "5 7 9")],
}  # fmt: skip


def numbers_in(text: str) -> list[float]:
    """The numbers in a text, in order."""
    return [float(number) for number in _NUMBER.findall(text)]


def is_printed(output: str, beginning: str, figures: str) -> bool:
    """Whether a line of the output has that beginning and then those figures, to the digits shown."""
    expected = figures.split()
    digits = [len(figure.partition(".")[2]) for figure in expected]
    for line in output.splitlines():
        if line.startswith(beginning):
            numbers = numbers_in(line.removeprefix(beginning))[: len(expected)]
            if [f"{n + 0.0:.{d}f}" for n, d in zip(numbers, digits, strict=False)] == expected:
                return True
    return False
