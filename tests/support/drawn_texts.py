"""What figures show: their texts, and which overlap or are cut off; their curves and legends."""

import numpy as np


def written(figure):
    """The texts that are drawn, and where."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    FigureCanvasAgg(figure).draw()
    axes_with_limits = [(a.xaxis, sorted(a.get_xlim())) for a in figure.axes]
    axes_with_limits += [(a.yaxis, sorted(a.get_ylim())) for a in figure.axes]
    beyond = {  # matplotlib keeps ticks beyond the limits, and does not draw them
        id(tick.label1)
        for axis, (low, high) in axes_with_limits
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not (axis.axes.axison and low <= tick.get_loc() <= high)
    }
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in beyond]
    return [(text.get_text(), text.get_window_extent()) for text in texts]


def overlaps(figure):
    """Pairs of texts that lie one on the other."""
    boxes = written(figure)
    return [(a, b) for i, (a, box) in enumerate(boxes) for b, other in boxes[:i] if box.overlaps(other)]


def drawn(axes):
    """The curves on the axes: by name, the horizontal and the vertical places."""
    return {line.get_label(): tuple(np.array(a).tolist() for a in line.get_data()) for line in axes.lines}


def legend(axes_or_figure):
    legends = [axes_or_figure.get_legend()] if hasattr(axes_or_figure, "get_legend") else axes_or_figure.legends
    return [text.get_text() for one in legends for text in one.get_texts()]


def outside(figure):
    """The texts that the picture cuts off."""
    boxes, (width, height) = written(figure), figure.canvas.get_width_height()
    return [text for text, box in boxes if min(box.x0, box.y0) < -1 or box.x1 > width + 1 or box.y1 > height + 1]
