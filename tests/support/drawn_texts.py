"""The texts of a figure: what is written, where, and which lie one on the other."""


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
