"""Plots of images, convolutional networks, learning curves, searches, distributions and paths.

Each function takes plain sequences, arrays of any backend, or a network, and returns the figure. `title` is written
above it. With a `path` the figure is written to a file, without one it is pyplot's, shown by ``plt.show()``. matplotlib
is imported by the first plot.
"""

from xpnet.plotting.convolution import plot_activations, plot_filters
from xpnet.plotting.curves import plot_learning_curves, plot_run_grid, plot_runs, smooth_curve
from xpnet.plotting.figures import new_figure, save_figure
from xpnet.plotting.histograms import plot_histograms
from xpnet.plotting.images import plot_confusion_grid, plot_images, plot_misclassified, plot_scores
from xpnet.plotting.paths import plot_paths
from xpnet.plotting.search import plot_search, plot_search_curves

__all__ = [
    "new_figure", "plot_activations", "plot_confusion_grid", "plot_filters", "plot_histograms", "plot_images",
    "plot_learning_curves", "plot_misclassified", "plot_paths", "plot_run_grid", "plot_runs", "plot_scores",
    "plot_search", "plot_search_curves", "save_figure", "smooth_curve",
]  # fmt: skip
