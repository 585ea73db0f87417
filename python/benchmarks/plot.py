"""The plot of the plain hit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from peers import OURS
from report import duration

if TYPE_CHECKING:
    from pathlib import Path

    from timing import Series

OURS_COLOR, PEER_COLOR = "#d1495b", "#8d99ae"


def bars(series: dict[str, Series], title: str, path: Path) -> None:
    """Draw one bar for each contender, the fastest on top, on a logarithmic scale."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of the backend

    slowest_first = sorted(series, key=lambda name: -series[name].median)
    medians = [series[name].median for name in slowest_first]
    colors = [OURS_COLOR if name == OURS else PEER_COLOR for name in slowest_first]
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(medians) + 1.2), layout="constrained")
    drawn = axes.barh(slowest_first, medians, color=colors)
    axes.bar_label(drawn, [duration(median) for median in medians], padding=4)
    axes.set_xscale("log")
    axes.set_xlim(min(medians) / 3, max(medians) * 4)
    axes.set_xlabel("nanoseconds, logarithmic scale; less is better")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=130)
    plt.close(figure)
