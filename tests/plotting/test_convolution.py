"""Pictures of convolutional networks: the weights, the activations and the errors that are drawn are the network's."""

import numpy as np
import pytest
from drawn_texts import overlaps
from matplotlib.colors import to_rgba

from xpnet import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    IdentityWithLoss,
    MaxPooling,
    Network,
    Relu,
    Residual,
    ResNet,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    load_digits,
    to_numpy,
)
from xpnet.errors import ArgumentError, DataError, LabelError, ShapeError
from xpnet.layers import LossLayer, walk_layers
from xpnet.plotting import plot_activations, plot_filters, plot_misclassified

(IMAGES, LABELS), _ = load_digits(normalize=False)
GREEN, RED = to_rgba("tab:green"), to_rgba("tab:red")


def pictures(figure_or_axes):
    """What is shown, axes by axes; colour bars are no images."""
    axes = getattr(figure_or_axes, "axes", figure_or_axes)
    return [a.get_images()[0] for a in axes if a.get_images()]


def random_filters(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# --- filters --------------------------------------------------------------------------------------------------------


def test_filters_before_and_after_are_images_of_their_weights(be, tmp_path):
    before, after = be.put(random_filters(5, 1, 3, 2)), be.put(3 * random_filters(5, 1, 3, 2, seed=1))
    figure = plot_filters(before, after, columns=2, title="Filters", path=tmp_path / "f.png")
    shown = pictures(figure)
    filters = np.concatenate([to_numpy(before), to_numpy(after)])[:, 0]
    assert [image.get_array().tolist() for image in shown] == filters.tolist()
    assert [part.get_suptitle() for part in figure.subfigs] == ["before training", "after training"]
    assert figure.get_suptitle() == "Filters"
    for part, weights in zip(figure.subfigs, (to_numpy(before), to_numpy(after)), strict=True):
        bound = float(np.abs(weights).max())
        side = pictures([axes for axes in figure.axes if axes.figure is part])
        assert [image.get_clim() for image in side] == [(-bound, bound)] * 5
        assert {image.get_cmap().name for image in side} == {"gray_r"}
        [bar] = [axes for axes in figure.axes if axes.figure is part and axes.get_xlabel() == "weight"]
        assert bar.get_xticks().tolist() == [-bound, 0, bound]
    assert figure.get_supxlabel() == ""
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_filters_alone_stand_in_a_square_without_a_title(tmp_path):
    figure = plot_filters(random_filters(8, 1, 3, 3), path=tmp_path / "f.png")
    assert len(pictures(figure)) == 8
    places = [axes.get_subplotspec().get_gridspec() for axes in figure.axes[:9]]
    assert {(grid.nrows, grid.ncols) for grid in places} == {(3, 3)}
    assert [part.get_suptitle() for part in figure.subfigs] == [""]


@pytest.mark.parametrize(
    ("channels", "channel", "shown", "told"),
    [
        (1, None, 0, ""),
        (4, None, 0, "channel 0 of 4 (from 0)"),
        (4, 3, 3, "channel 3 of 4 (from 0)"),
        (3, 1, 1, "channel 1 of 3 (from 0)"),
    ],
)
def test_of_several_channels_one_is_shown_and_named(channels, channel, shown, told, tmp_path):
    filters = random_filters(2, channels, 3, 3)
    figure = plot_filters(filters, channel=channel, path=tmp_path / "f.png")
    assert [image.get_array().tolist() for image in pictures(figure)] == filters[:, shown].tolist()
    assert figure.get_supxlabel() == told


def test_three_channels_are_colours_about_grey(tmp_path):
    filters = np.zeros((2, 3, 2, 2))
    filters[0, 0, 0, 0], filters[1, 2, 1, 1] = 2.0, -1.0
    first, second = (image.get_array() for image in pictures(plot_filters(filters, path=tmp_path / "f.png")))
    assert first[0, 0].tolist() == [1.0, 0.5, 0.5]
    assert second[1, 1].tolist() == [0.5, 0.5, 0.25]
    assert np.count_nonzero(first != 0.5) + np.count_nonzero(second != 0.5) == 2


def test_of_many_filters_the_first_are_shown_and_that_is_said(tmp_path):
    filters = random_filters(10, 2, 3, 3)
    figure = plot_filters(filters, filters + 1, limit=4, path=tmp_path / "f.png")
    expected = [*filters[:4, 0].tolist(), *(filters + 1)[:4, 0].tolist()]
    assert [image.get_array().tolist() for image in pictures(figure)] == expected
    assert figure.get_supxlabel() == "the first 4 of 10 filters, channel 0 of 2 (from 0)"
    assert overlaps(figure) == []


def test_filters_of_zeros_are_grey(tmp_path):
    [image] = pictures(plot_filters(np.zeros((1, 1, 2, 2)), path=tmp_path / "f.png"))
    assert image.norm(image.get_array()).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    [image] = pictures(plot_filters(np.zeros((1, 3, 2, 2)), path=tmp_path / "f.png"))
    assert np.array_equal(image.get_array(), np.full((2, 2, 3), 0.5))


W = random_filters(2, 1, 3, 3)


@pytest.mark.parametrize(
    ("given", "options", "error", "message"),
    [
        ((W[0],), {}, ShapeError, r"before must be filters .*got \(1, 3, 3\).*network.params\['W1'\]"),
        ((W, W[0]), {}, ShapeError, "after must be filters"),
        ((W, W[:1].copy()), {}, ShapeError, "of one convolution, got shapes"),
        ((W, W), {}, ArgumentError, r"the same array.*network.weights\(\)\['W1'\]"),
        ((W, W[:]), {}, ArgumentError, "the same array"),
        ((W,), {"channel": 1}, ArgumentError, "channel must be from 0 to 0, as the filters have 1, got 1"),
        ((W,), {"limit": 0}, ArgumentError, "limit must be a whole number"),
        ((W,), {"columns": 0}, ArgumentError, "columns must be a whole number"),
    ],
)
def test_what_are_no_filters_is_an_error(given, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        plot_filters(*given, path=tmp_path / "f.png", **options)
    assert list(tmp_path.iterdir()) == []


def test_one_array_of_any_backend_is_no_before_and_after(be):
    filters = be.put(W)
    with pytest.raises(ArgumentError, match="the same array"):
        plot_filters(filters, filters)


def test_a_parameter_that_has_learned_in_its_place_is_no_before():
    network = small_network()
    before, kept = network.params["W1"], network.weights()["W1"]
    network.params["W1"] -= 0.1
    with pytest.raises(ArgumentError, match="which learning has changed in its place"):
        plot_filters(before, network.params["W1"])
    assert not np.array_equal(kept, network.params["W1"])


# --- activations ----------------------------------------------------------------------------------------------------


def small_network(be=None):
    """Of every kind of layer, on 8 x 8 pixels."""
    where = {} if be is None else {"dtype": be.dtype, "backend": be.backend}
    options = {"rng": np.random.default_rng(0), **where}
    layers = [
        Convolution.create(1, 4, 3, "he", pad=1, **options),
        BatchNormalization.create(4, **where),
        Relu(),
        Residual([Convolution.create(4, 4, 3, "he", pad=1, **options), Dropout(0.5, seed=0)]),
        MaxPooling(2, 2),
        Flatten(),
        Dropout(0.5, seed=0),
        Affine.create(64, 10, "he", **options),
    ]
    return Network(layers, input_shape=(1, 8, 8))


def smallest_network(input_shape=(1, 8, 8)):
    """What is quickly drawn."""
    options = {"rng": np.random.default_rng(0)}
    return Network([Convolution.create(1, 1, 3, **options), Affine.create(36, 10, **options)], input_shape=input_shape)


def rows_of(figure):
    """The name of each row, what stands below it, and its axes after these."""
    rows = []
    for axes in figure.axes:
        if len(axes.texts) == 2 and not axes.axison:
            rows.append((*(text.get_text() for text in axes.texts), []))
        else:
            rows[-1][2].append(axes)
    return rows


def test_activations_are_what_each_layer_gives_out_in_inference(be, tmp_path):
    network = small_network(be)
    statistics = {"running_mean1": np.full(4, 0.3), "running_var1": np.full(4, 0.2)}
    network.set_weights({**network.weights(), **statistics})
    for layer in walk_layers(network.layers.values()):
        layer.train = True  # as after a training step
    figure = plot_activations(network, be.put(IMAGES[3]), channels=3, path=tmp_path / "a.png")
    *rows, (name, below, [bars]) = rows_of(figure)
    shapes = {
        "input": "1 × 8 × 8",
        **dict.fromkeys(("Convolution1", "BatchNormalization1", "Relu1", "Residual1"), "4 × 8 × 8, first 3"),
        "MaxPooling1": "4 × 4 × 4, first 3",
        **dict.fromkeys(("Flatten1", "Dropout1"), "64"),
        "Affine1": "10",
    }
    assert {row[0]: row[1] for row in rows} == shapes
    y, tolerance = be.put(IMAGES[3].reshape(1, 1, 8, 8) / 255), 100 * np.finfo(be.dtype).eps
    network.set_train(False)
    for (layer_name, _, axes), layer in zip(rows, [None, *network.layers.values()], strict=True):
        y = y if layer is None else layer.forward(y)
        expected = to_numpy(y)[0]
        expected = expected[:3] if expected.ndim == 3 else expected[np.newaxis, np.newaxis]
        shown = np.stack([image.get_array() for image in pictures(axes)])
        np.testing.assert_allclose(shown, expected, rtol=tolerance, atol=tolerance, err_msg=layer_name)
        assert len(axes) == len(expected) + 1  # the colour bar
    probabilities = to_numpy(network.last_layer.probabilities(y))[0]
    np.testing.assert_allclose([bar.get_height() for bar in bars.patches], probabilities, rtol=tolerance)
    assert (name, below) == ("probability", "of 10 classes")
    assert bars.get_xlabel() == f"highest probability: {probabilities.argmax()}"


def test_the_network_stays_as_it_was(tmp_path):
    network = small_network()
    x, t = IMAGES[:20].reshape(-1, 1, 8, 8), LABELS[:20]
    grads = network.gradient(x, t)
    layers = list(walk_layers(network.layers.values()))
    weights = network.weights()
    kept = [
        {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in vars(layer).items()}
        for layer in layers
    ]
    plot_activations(network, IMAGES[0], path=tmp_path / "a.png")
    assert all(layer.train for layer in layers)
    for layer, attributes in zip(layers, kept, strict=True):
        assert vars(layer).keys() == attributes.keys()
        for key, value in attributes.items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(getattr(layer, key), value), (layer, key)
            else:
                assert getattr(layer, key) is value or getattr(layer, key) == value, (layer, key)
    dout = network.last_layer.backward()
    for layer in list(network.layers.values())[::-1]:
        dout = layer.backward(dout)  # as if nothing had gone through the layers in between
    assert all(np.array_equal(network.grads[key], grads[key]) for key in grads)
    assert all(np.array_equal(network.weights()[key], weights[key]) for key in weights)


@pytest.mark.parametrize("shape", [(64,), (1, 64), (8, 8), (1, 8, 8), (1, 1, 8, 8)])
@pytest.mark.parametrize("pixels", [True, False])
def test_one_image_comes_in_any_form(shape, pixels, tmp_path):
    x = IMAGES[5].reshape(shape) if pixels else (IMAGES[5] / 255).astype("float32").reshape(shape)
    for network in (smallest_network(), Network([Affine.create(64, 10, rng=0)])):
        image = pictures(plot_activations(network, x, path=tmp_path / "a.png"))[0]
        np.testing.assert_allclose(image.get_array(), IMAGES[5].reshape(8, 8) / 255, rtol=1e-6)


def test_without_an_input_shape_an_image_has_its_channels(tmp_path):
    network = smallest_network(input_shape=None)
    for x in (IMAGES[5].reshape(1, 8, 8), IMAGES[5].reshape(1, 1, 8, 8)):
        image = pictures(plot_activations(network, x, path=tmp_path / "a.png"))[0]
        np.testing.assert_allclose(image.get_array(), IMAGES[5].reshape(8, 8) / 255, rtol=1e-6)


def test_rows_with_negative_numbers_have_a_scale_about_0_and_others_begin_there(tmp_path):
    rows = {
        name: axes for name, _, axes in rows_of(plot_activations(small_network(), IMAGES[0], path=tmp_path / "a.png"))
    }
    for name, cmap in (("Convolution1", "RdBu_r"), ("Relu1", "gray_r"), ("Affine1", "RdBu_r")):
        *maps, bar = rows[name]
        shown = pictures(maps)
        bound = max(float(np.abs(image.get_array()).max()) for image in shown)
        low = -bound if cmap == "RdBu_r" else 0
        assert {(image.get_cmap().name, *image.get_clim()) for image in shown} == {(cmap, low, bound)}
        assert bar.get_yticks().tolist() == [low, bound]


def test_an_image_in_colour_is_shown_in_its_colours(tmp_path):
    options = {"rng": np.random.default_rng(0)}
    network = Network(
        [Convolution.create(3, 2, 3, **options), Affine.create(2 * 2 * 3, 3, **options)], input_shape=(3, 4, 5)
    )
    x = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    (_, below, [axes, bar]), *_ = rows_of(plot_activations(network, x, path=tmp_path / "a.png"))
    assert below == "3 × 4 × 5"
    np.testing.assert_allclose(pictures([axes])[0].get_array(), np.moveaxis(x, 0, -1) / 255, rtol=1e-6)
    assert not bar.axison
    normalised = x.astype("float32") / 64 - 1
    image = pictures(plot_activations(network, normalised, path=tmp_path / "a.png"))[0].get_array()
    assert (image.min(), image.max()) == (0, 1)


@pytest.mark.parametrize(("label", "color"), [(None, GREEN), (1, GREEN), (0, RED)])
def test_the_highest_bar_tells_right_from_wrong_by_name(label, color, tmp_path):
    network = Network([Affine(np.eye(3), np.zeros(3))])
    figure = plot_activations(
        network, np.array([0.1, 0.9, 0.2]), label=label, class_names="abc", path=tmp_path / "a.png"
    )
    bars = figure.axes[-1]
    assert [bar.get_facecolor() for bar in bars.patches].index(color) == 1
    assert [text.get_text() for text in bars.get_xticklabels()] == ["a", "b", "c"]
    assert bars.get_xlabel() == "highest probability: b" + ("" if label is None else f"; it is {'abc'[label]}")
    assert bars.get_xlim() == (-0.5, 2.5)  # each bar below its score in the strip
    assert rows_of(figure)[0][:2] == ("input", "3")  # no square, so no image


class Hinge(LossLayer):
    """Of scores that are no probabilities."""

    classifies = True

    def check_targets(self, t, scores_shape):
        return t


def test_scores_stand_for_probabilities_and_a_regression_has_no_classes(tmp_path):
    layers = {"Affine": Affine(np.array([[2.0, -3.0]]), np.zeros(2))}
    figure = plot_activations(Network(layers, Hinge()), np.array([2.0]), path=tmp_path / "a.png")
    assert rows_of(figure)[-1][0] == "score"
    assert [bar.get_height() for bar in figure.axes[-1].patches] == [4.0, -6.0]
    layers = {"Affine": Affine(np.array([[2.0, -3.0]]), np.zeros(2))}
    figure = plot_activations(Network(layers, IdentityWithLoss()), np.array([2.0]), path=tmp_path / "a.png")
    assert [row[0] for row in rows_of(figure)] == ["input", "Affine"]


def test_texts_of_activations_do_not_overlap(tmp_path):
    figure = plot_activations(small_network(), IMAGES[0], label=3, title="Layer by layer", path=tmp_path / "a.png")
    assert overlaps(figure) == []


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (IMAGES[:2], {}, ShapeError, r"One image is drawn, got x of shape \(2, 64\).*x\[0\]"),
        (IMAGES[0, :60], {}, ShapeError, "Convolution1 expects images"),
        (IMAGES[0], {"label": 10}, LabelError, "Expected labels from 0 to 9, got 10"),
        (IMAGES[0], {"class_names": ["one"]}, ArgumentError, "class_names has 1 names, but the network has 10 classes"),
        (IMAGES[0], {"channels": 0}, ArgumentError, "channels must be a whole number"),
    ],
)
def test_what_has_no_activations_is_an_error(x, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        plot_activations(small_network(), x, path=tmp_path / "a.png", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(8, 6, 3), (6, 8, 3), (1, 8, 6, 3), (24, 6)])
def test_axes_in_another_order_are_no_form_of_an_image(shape, tmp_path):
    network = ResNet((3, 8, 6), (4,), seed=0, backend="numpy")
    x, t = np.random.default_rng(0).random(shape), np.array([0])
    with pytest.raises(ShapeError):
        plot_activations(network, x, path=tmp_path / "a.png")
    with pytest.raises(ShapeError):
        plot_misclassified(network, x if len(shape) == 4 else x[None], t, path=tmp_path / "m.png")
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_size_are_drawn_as_they_are_where_the_network_takes_them(tmp_path):
    network, x = ResNet((3, 8, 6), (4,), seed=0, backend="numpy"), np.random.default_rng(0).random((2, 3, 6, 8))
    figures = [plot_activations(network, x[0], path=tmp_path / "a.png")]
    labels = (np.argmax(network.predict(x), axis=1) + 1) % 10
    figures.append(plot_misclassified(network, x, labels, path=tmp_path / "m.png", limit=1))
    shown = [np.asarray(pictures(figure)[0].get_array()) for figure in figures]
    assert np.allclose(shown[0], np.moveaxis(x[0], 0, -1), atol=1e-6)
    assert min(np.abs(shown[1] - np.moveaxis(image, 0, -1)).max() for image in x) < 1e-6


def test_classes_may_be_named_by_an_array(tmp_path):
    names = np.array(["none", "one", "two", "three"])
    figure = plot_misclassified(mirror(), X, T, class_names=names, path=tmp_path / "m.png")
    assert "one, taken for two" in [part.get_suptitle() for part in figure.subfigs]


# --- what goes wrong ------------------------------------------------------------------------------------------------

# A network whose scores are its input times 10: image i is taken for its largest pixel, the surer the larger it is.
X = np.array([[1, 0, 0, 0], [0, 0.4, 0, 0], [0, 0, 0.9, 0], [0.1, 0, 0, 0.6], [0.8, 0, 0, 0.1], [0, 0.3, 0, 0]])
T = np.array([0, 2, 1, 3, 3, 0])
WRONG = [2, 4, 1, 5]  # the surest first


def mirror(be=None, *, last_layer=None, input_shape=(1, 2, 2), classes=4):
    put = np.asarray if be is None else be.put
    W = put(10 * np.eye(classes))
    return Network([Flatten(), Affine(W, put(np.zeros(classes)))], last_layer, input_shape=input_shape)


def cells(figure):
    """For each misclassified image: its title, its axes and that of the bars."""
    axes = [a for a in figure.axes if a.get_images() or a.patches]
    parts = [part for part in figure.subfigs if part.get_suptitle()]
    return list(zip([part.get_suptitle() for part in parts], axes[::2], axes[1::2], strict=True))


def test_misclassified_images_come_the_surest_first(be, tmp_path):
    figure = plot_misclassified(mirror(be), be.put(X), be.put(T), path=tmp_path / "m.png")
    titles = ["1, taken for 2", "3, taken for 0", "2, taken for 1", "0, taken for 1"]
    assert [title for title, _, _ in cells(figure)] == titles
    for i, (_, image, bars) in zip(WRONG, cells(figure), strict=True):
        np.testing.assert_allclose(pictures([image])[0].get_array(), X[i].reshape(2, 2), rtol=1e-6)
        exp = np.exp(10 * X[i])
        np.testing.assert_allclose([bar.get_width() for bar in bars.patches], exp / exp.sum(), rtol=1e-4)
        colors = [bar.get_facecolor() for bar in bars.patches]
        assert colors.index(GREEN) == T[i]
        assert colors.index(RED) == X[i].argmax()
        named = bars.get_yticklabels()
        assert [text.get_text() for text in named] == ["0", "1", "2", "3"]
        assert [to_rgba(text.get_color()) for text in named].index(GREEN) == T[i]
        assert bars.get_xlim() == pytest.approx((0, 1.4))  # of all alike: the lengths can be compared
    assert figure.get_supxlabel().startswith("Wrong: 4 of 6 images, the surest first. Bars: probability")


def test_a_few_of_them_are_the_surest_and_that_is_said(tmp_path):
    t = np.eye(4)[T]
    figure = plot_misclassified(
        mirror(),
        X,
        t,
        limit=2,
        columns=1,
        class_names=["ant", "bee", "cat", "dog"],
        title="Animals",
        path=tmp_path / "m.png",
    )
    assert [title for title, _, _ in cells(figure)] == ["bee, taken for cat", "dog, taken for ant"]
    assert [text.get_text() for text in cells(figure)[0][2].get_yticklabels()] == ["ant", "bee", "cat", "dog"]
    told = figure.get_supxlabel().replace("\n", " ")
    assert told.startswith("Wrong: 4 of 6 images, here the 2 of which the network is surest.")
    assert figure.get_suptitle() == "Animals"
    assert overlaps(figure) == []
    below = figure.findobj(lambda artist: getattr(artist, "get_text", str)() == figure.get_supxlabel())[0]
    assert below.get_window_extent().width < figure.bbox.width


@pytest.mark.parametrize("shape", [(-1, 64), (-1, 8, 8), (-1, 1, 8, 8)])
@pytest.mark.parametrize("input_shape", [(64,), (1, 8, 8)])
def test_they_are_those_of_a_trained_network_and_pixels_may_be_bytes(shape, input_shape, tmp_path):
    network = smallest_network() if len(input_shape) == 3 else Network([Affine.create(64, 10, "he", rng=0)])
    for _ in range(20):
        for key, grad in network.gradient(IMAGES[:300].reshape(-1, *input_shape), LABELS[:300]).items():
            network.params[key] -= 0.5 * grad
    probabilities = network.predict_proba(IMAGES.reshape(-1, *input_shape))
    wrong = [i for i in range(len(IMAGES)) if probabilities[i].argmax() != LABELS[i]]
    wrong.sort(key=lambda i: -probabilities[i].max())
    assert len(wrong) > 10
    figure = plot_misclassified(network, IMAGES.reshape(shape), LABELS, limit=10, path=tmp_path / "m.png")
    shown = [pictures([image])[0].get_array().ravel().tolist() for _, image, _ in cells(figure)]
    assert shown == IMAGES[wrong[:10]].tolist()
    assert figure.get_supxlabel().startswith(f"Wrong: {len(wrong)} of {len(IMAGES):,} images, here the 10")


def test_arrays_of_another_backend_than_the_network_are_taken(be, tmp_path):
    figure = plot_misclassified(mirror(), be.put(X), be.put(T), path=tmp_path / "m.png")
    assert len(cells(figure)) == 4
    assert pictures(plot_activations(mirror(), be.put(X[0]), path=tmp_path / "a.png"))[0].get_array().shape == (2, 2)


def test_misclassified_images_in_colour(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 2, 2), dtype=np.uint8)
    network = mirror(input_shape=(3, 2, 2), classes=12)
    t = (x.reshape(2, 12).argmax(axis=1) + 1) % 12
    for given in (x, x.reshape(2, 12)):
        figure = plot_misclassified(network, given, t, path=tmp_path / "m.png")
        shown = [pictures([image])[0].get_array() for _, image, _ in cells(figure)]
        order = np.argsort(-network.predict_proba(x).max(axis=1), kind="stable")
        np.testing.assert_allclose(shown, np.moveaxis(x[order], 1, -1) / 255, rtol=1e-12)


def test_of_many_classes_the_highest_and_the_label_have_bars(tmp_path):
    scores = np.arange(16.0)[np.newaxis] / 10
    figure = plot_misclassified(mirror(input_shape=(16,), classes=16), scores, np.array([2]), path=tmp_path / "m.png")
    [(_, _, bars)] = cells(figure)
    assert [text.get_text() for text in bars.get_yticklabels()] == ["2", *(str(k) for k in range(7, 16))]
    assert overlaps(figure) == []


def test_scores_stand_for_probabilities_there_too(tmp_path):
    figure = plot_misclassified(mirror(last_layer=Hinge()), X - 0.5, T, path=tmp_path / "m.png")
    (_, _, bars), *_ = cells(figure)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([-5, -5, 4, -5])
    assert "Bars: score" in figure.get_supxlabel()
    assert bars.get_xlim()[0] == -5


NAN = np.where(np.arange(6)[:, None] == 3, np.nan, X)


@pytest.mark.parametrize(
    ("last_layer", "x", "t", "error", "message"),
    [
        (SoftmaxWithLoss(), X, X.argmax(axis=1), ArgumentError, "There is nothing to draw: .*right about all 6 images"),
        (SigmoidWithLoss(), X, T, ArgumentError, r"SigmoidWithLoss\(\) has no classes that exclude each other"),
        (IdentityWithLoss(), X, T, ArgumentError, r"IdentityWithLoss\(\) has no classes"),
        (SoftmaxWithLoss(), NAN, T, DataError, r"not finite, in 1 of 6 samples; the first is at index \(3"),
        (SoftmaxWithLoss(), X[:5], T, ShapeError, r"Expected labels of shape \(5,\)"),
        (SoftmaxWithLoss(), X[0], T[:1], ShapeError, r"Expected images \(N, ...\).*x\[None\]"),
        (SoftmaxWithLoss(), X, T + 1, LabelError, "Expected labels from 0 to 3, got 4"),
    ],
)
def test_where_nothing_can_be_wrong_is_an_error(last_layer, x, t, error, message, tmp_path):
    with pytest.raises(error, match=message):
        plot_misclassified(mirror(last_layer=last_layer), x, t, path=tmp_path / "m.png")
    assert list(tmp_path.iterdir()) == []
