"""Pictures of digits and of scores: what is on the axes is what was given."""

import numpy as np
import pytest

from xpnet import load_digits
from xpnet.drawing import plot_confusions, plot_digits, plot_scores, save_figure
from xpnet.errors import ShapeError

(IMAGES, LABELS), _ = load_digits(normalize=False)


def shown(axes):
    """The images on the axes."""
    return [image.get_array() for image in axes.get_images()]


@pytest.mark.parametrize("shape", [(-1, 64), (-1, 8, 8), (-1, 1, 8, 8)])
def test_digits_are_shown_in_order_with_their_captions(shape, tmp_path):
    figure = plot_digits(IMAGES[:7].reshape(shape), LABELS[:7], columns=3, title="Digits", path=tmp_path / "d.png")
    assert len(figure.axes) == 9
    for i in range(7):
        [picture] = shown(figure.axes[i])
        assert np.array_equal(picture, IMAGES[i].reshape(8, 8))
        assert figure.axes[i].get_title() == str(LABELS[i])
    assert not any(shown(axes) for axes in figure.axes[7:])
    assert figure.get_suptitle() == "Digits"
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_digits_of_every_backend_and_without_captions(be, tmp_path):
    figure = plot_digits(be.put(IMAGES[:2]), path=tmp_path / "d.svg")
    assert all(np.array_equal(shown(axes)[0].ravel(), IMAGES[i]) for i, axes in enumerate(figure.axes))
    assert [axes.get_title() for axes in figure.axes] == ["", ""]  # two of them
    assert b"<svg" in (tmp_path / "d.svg").read_bytes()


@pytest.mark.parametrize("shape", [(2, 32), (2, 3, 4, 4), (16,)])
def test_what_is_no_image_is_an_error(shape, tmp_path):
    with pytest.raises(ShapeError, match="Expected images of shape"):
        plot_digits(np.zeros(shape), path=tmp_path / "d.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("label", "color"), [(3, "tab:green"), (None, "tab:green"), (5, "tab:red")])
def test_scores_are_bars_and_the_highest_tells_right_from_wrong(be, label, color, tmp_path):
    from matplotlib.colors import to_rgba

    scores = np.array([[0.5, -1.0, 0.0, 2.0, 1.0, 0.25]])
    figure = plot_scores(IMAGES[0], be.put(scores), label=label, name="logit", path=tmp_path / "s.png")
    picture, chart = figure.axes
    assert np.array_equal(shown(picture)[0].ravel(), IMAGES[0])
    assert [bar.get_height() for bar in chart.patches] == scores[0].tolist()
    assert [i for i, bar in enumerate(chart.patches) if bar.get_facecolor() == to_rgba(color)] == [3]
    assert (chart.get_ylabel(), chart.get_title()) == ("logit", "highest logit: 3")
    assert ("a 5" in picture.get_title()) == (label == 5)


def test_confusions_show_an_image_of_each_kind_and_how_many_there_are(tmp_path):
    labels = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 2, 2, 1, 0, 2])
    figure = plot_confusions(IMAGES[:6], labels, predicted, classes=3, path=tmp_path / "c.png")
    kinds = {(0, 0): (0, 1), (0, 2): (1, 2), (1, 1): (3, 1), (1, 0): (4, 1), (2, 2): (5, 1)}
    for place, axes in zip(np.ndindex(3, 3), figure.axes, strict=True):
        if place not in kinds:
            assert not shown(axes)
            continue
        first, count = kinds[place]
        assert np.array_equal(shown(axes)[0].ravel(), IMAGES[first])
        assert axes.get_xlabel() == str(count)
        right = axes.spines["left"].get_edgecolor()[1] > axes.spines["left"].get_edgecolor()[0]
        assert right == (place[0] == place[1])  # green on the diagonal, red elsewhere


def test_a_figure_is_written_whole_into_a_new_folder(tmp_path):
    from matplotlib.figure import Figure

    path = save_figure(Figure(), tmp_path / "new" / "figure.pdf")
    assert path == tmp_path / "new" / "figure.pdf"
    assert path.read_bytes().startswith(b"%PDF")


def test_without_a_path_it_is_pyplots_to_be_shown():
    import matplotlib.pyplot as plt

    figure = plot_digits(IMAGES[:1])
    assert plt.gcf() is figure
    plt.close(figure)
