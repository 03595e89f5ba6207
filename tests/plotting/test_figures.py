"""Figures: written whole, shown where no path is given, and what they say of empty data."""

import numpy as np
import pytest

from xpnet import load_digits
from xpnet.errors import ShapeError
from xpnet.plotting import plot_histograms, plot_images, plot_paths, save_figure

(IMAGES, LABELS), _ = load_digits(normalize=False)


def test_a_figure_is_written_whole_into_a_new_folder(tmp_path):
    from matplotlib.figure import Figure

    path = save_figure(Figure(), tmp_path / "new" / "figure.pdf")
    assert path == tmp_path / "new" / "figure.pdf"
    assert path.read_bytes().startswith(b"%PDF")


def test_without_a_path_it_is_pyplots_to_be_shown():
    import matplotlib.pyplot as plt

    figure = plot_images(IMAGES[:1])
    assert plt.gcf() is figure
    plt.close(figure)


def test_what_is_empty_is_an_error_or_said(tmp_path):
    path = tmp_path / "p.png"
    with pytest.raises(ShapeError, match="There is nothing to draw: images has shape"):
        plot_images(np.empty((0, 16)), path=path)
    with pytest.raises(ShapeError, match=r"points \(x, y\), shape \(N, 2\), got shape \(0, 2\)"):
        plot_paths(lambda x, y: x + y, {"a": np.empty((0, 2))}, path=path)
    [axes] = plot_histograms({"a": np.empty(0)}, path=path).axes
    assert axes.texts[0].get_text() == "no values"
