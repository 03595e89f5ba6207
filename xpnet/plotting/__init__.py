"""Pictures: digits, convolutional networks, learning curves, searches, distributions, paths.

matplotlib lives here alone, and is loaded when something is drawn. Each function takes plain sequences, arrays of any
backend, or a network, and returns the figure; with a ``path`` the picture is written there, without one the figure is
pyplot's, shown by ``plt.show()``.
"""

from xpnet.plotting.convolution import plot_activations, plot_filters
from xpnet.plotting.curves import plot_grid_of_runs, plot_learning_curves, plot_runs, smooth_curve
from xpnet.plotting.figures import new_figure, save_figure
from xpnet.plotting.histograms import plot_histograms
from xpnet.plotting.images import plot_confusions, plot_digits, plot_misclassified, plot_scores
from xpnet.plotting.paths import plot_paths
from xpnet.plotting.search import plot_search, plot_search_curves

__all__ = [
    "new_figure",
    "plot_activations",
    "plot_confusions",
    "plot_digits",
    "plot_filters",
    "plot_grid_of_runs",
    "plot_histograms",
    "plot_learning_curves",
    "plot_misclassified",
    "plot_paths",
    "plot_runs",
    "plot_scores",
    "plot_search",
    "plot_search_curves",
    "save_figure",
    "smooth_curve",
]
