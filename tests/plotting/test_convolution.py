"""Pictures of convolutional networks: the weights, the activations and the errors that are drawn are the network's."""

import numpy as np
import pytest
from drawn_texts import overlaps
from matplotlib.colors import to_rgba
from pictured import Hinge, pictures, smallest_network

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
    load_digits,
    to_numpy,
)
from xpnet.errors import ArgumentError, LabelError, ShapeError
from xpnet.layers.base import walk_layers
from xpnet.plotting import plot_activations, plot_filters, plot_misclassified

(IMAGES, LABELS), _ = load_digits(normalize=False)
GREEN, RED = to_rgba("tab:green"), to_rgba("tab:red")


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


def test_three_channels_are_colors_about_grey(tmp_path):
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
        ((W, W), {}, ArgumentError, r"the same array.*network.state.weights\(\)\['W1'\]"),
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
    before, kept = network.params["W1"], network.state.weights()["W1"]
    network.params["W1"] -= 0.1
    with pytest.raises(ArgumentError, match="which training changes in place"):
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
    network.state.set_weights({**network.state.weights(), **statistics})
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
    network.state.set_train(False)
    for (layer_name, _, axes), layer in zip(rows, [None, *network.layers.values()], strict=True):
        y = y if layer is None else layer.forward(y)
        expected = to_numpy(y)[0]
        expected = expected[:3] if expected.ndim == 3 else expected[np.newaxis, np.newaxis]
        shown = np.stack([image.get_array() for image in pictures(axes)])
        np.testing.assert_allclose(shown, expected, rtol=tolerance, atol=tolerance, err_msg=layer_name)
        assert len(axes) == len(expected) + 1  # the color bar
    probabilities = to_numpy(network.last_layer.probabilities(y))[0]
    np.testing.assert_allclose([bar.get_height() for bar in bars.patches], probabilities, rtol=tolerance)
    assert (name, below) == ("probability", "of 10 classes")
    assert bars.get_xlabel() == f"highest probability: {probabilities.argmax()}"


def test_the_network_stays_as_it_was(tmp_path):
    network = small_network()
    x, t = IMAGES[:20].reshape(-1, 1, 8, 8), LABELS[:20]
    grads = network.gradient(x, t)
    layers = list(walk_layers(network.layers.values()))
    weights = network.state.weights()
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
    assert all(np.array_equal(network.state.grads[key], grads[key]) for key in grads)
    assert all(np.array_equal(network.state.weights()[key], weights[key]) for key in weights)


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


def test_an_image_in_color_is_shown_in_its_colors(tmp_path):
    options = {"rng": np.random.default_rng(0)}
    network = Network(
        [Convolution.create(3, 2, 3, **options), Affine.create(2 * 2 * 3, 3, **options)], input_shape=(3, 4, 5)
    )
    x = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    (_, below, [axes, bar]), *_ = rows_of(plot_activations(network, x, path=tmp_path / "a.png"))
    assert below == "3 × 4 × 5"
    np.testing.assert_allclose(pictures([axes])[0].get_array(), np.moveaxis(x, 0, -1) / 255, rtol=1e-6)
    assert not bar.axison
    normalized = x.astype("float32") / 64 - 1
    image = pictures(plot_activations(network, normalized, path=tmp_path / "a.png"))[0].get_array()
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
        (IMAGES[:2], {}, ShapeError, r"Expected one image, got x of shape \(2, 64\).*x\[0\]"),
        (IMAGES[0, :60], {}, ShapeError, "Convolution1: Convolution expects images"),
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
