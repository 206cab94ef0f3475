"""The plot of a learning-rate sweep."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

COLORS = ("tab:red", "tab:green")


def rate_figure(
    lrs: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], marks: Mapping[str, float], title: str
) -> Figure:
    """Plot loss over learning rate, on a logarithmic axis, with rates marked.

    Args:
        lrs: Learning rate of each batch.
        losses: Loss of each batch.
        smoothed: Smoothed loss of the first batches; empty where there is none.
        marks: Rates to mark, by their names.
        title: What is shown.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(lrs, losses, color="0.7", linewidth=1, label="loss of each batch")
    if len(smoothed):
        axes.plot(lrs[: len(smoothed)], smoothed, color="tab:blue", label="smoothed")
        low, high = min(smoothed), max(smoothed)
        room = max(0.1 * (high - low), 1e-6)
        axes.set_ylim(low - 2 * room, high + 3 * room)
    for (name, rate), color in zip(marks.items(), COLORS, strict=False):
        axes.axvline(rate, color=color, linestyle="--", label=f"{name}: {rate:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
