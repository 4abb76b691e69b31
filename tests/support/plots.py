"""The look of the documentation's plots: for light and for dark pages, and readable on a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

WIDTH = 5.0
"""Inches. A phone shows the plot at three quarters of this size."""

MARKERS = "osv^Dx+*"
OWN = "ecs_role_creds"


class Theme(NamedTuple):
    """How plots look on one background.

    Attributes:
        suffix: Added to the name of the plot's file; docs/_ext/plots_for_both_backgrounds.py
            expects these.
        ink: Colour of text and axes.
        own: Colour of this library.
        peer: Colour of the other clients' bars.
        floor: Colour of the floors' bars.
        lines: Colours of the other clients' lines.
    """

    suffix: str
    ink: str
    own: str
    peer: str
    floor: str
    lines: tuple[str, ...]


LIGHT = Theme(
    "",
    "#2b3137",
    "#c8501e",
    "#5b7083",
    "#b9c4cd",
    ("#2f6fb0", "#3a8a55", "#7d55b8", "#8a7a1a", "#1f8a88", "#b04a7d", "#5b7083"),
)
DARK = Theme(
    "-dark",
    "#cfd0d0",
    "#f07a45",
    "#8fa5b8",
    "#566572",
    ("#6fb0ee", "#63c58a", "#b794f0", "#d6bb4a", "#55cfc8", "#e887b4", "#8fa5b8"),
)


def draw(
    path: Path, height: float, content: Callable[[plt.Axes, Theme], object], title: str
) -> None:
    """Draw a plot for both backgrounds.

    Args:
        path: The ``.svg`` for light pages; the other has its theme's suffix.
        height: Of the plot, in inches.
        content: Draws into the axes.
        title: Above the plot.
    """
    for theme in (LIGHT, DARK):
        with plt.rc_context(_settings(theme)):
            figure, axes = plt.subplots(figsize=(WIDTH, height))
            content(axes, theme)
            axes.set_title(title, loc="left", fontsize=10, x=0.0)
            axes.spines[["top", "right"]].set_visible(False)
            figure.savefig(
                path.with_name(f"{path.stem}{theme.suffix}.svg"),
                bbox_inches="tight",
                metadata={"Date": None},
            )
            plt.close(figure)


def line_styles(names: list[str], theme: Theme) -> dict[str, dict[str, Any]]:
    """How each line is drawn: this library's in its colour, wider, and above the others."""
    others, markers, own_dashes = iter(theme.lines * 2), iter(MARKERS * 2), iter(("-", "--", ":"))
    styles: dict[str, dict[str, Any]] = {}
    for name in names:
        styles[name] = {"label": name, "marker": next(markers), "markersize": 4}
        if name.startswith(OWN):
            own = {"color": theme.own, "linewidth": 2.2, "zorder": 3, "linestyle": next(own_dashes)}
            styles[name].update(own)
        else:
            styles[name].update({"color": next(others), "linewidth": 1.2, "zorder": 2})
    return styles


def legend_below(axes: plt.Axes, columns: int = 2) -> None:
    """A legend under the plot, which takes no width."""
    axes.legend(
        frameon=False,
        fontsize=9,
        loc="upper center",
        bbox_to_anchor=(0.45, -0.2),
        ncol=columns,
        columnspacing=0.9,
        handlelength=1.5,
        handletextpad=0.5,
    )


plain_numbers = FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
"""Numbers on a logarithmic axis: 1,000 and not a power of ten."""


def _settings(theme: Theme) -> dict[str, object]:
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    return {
        "svg.hashsalt": "plots",
        "font.size": 10,
        "axes.axisbelow": True,
        "grid.color": theme.ink,
        "grid.alpha": 0.2,
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
        **dict.fromkeys(inks, theme.ink),
    }
