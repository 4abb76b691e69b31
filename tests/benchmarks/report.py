"""Turns measurements into docs/benchmarks.md and its plots."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


class Theme(NamedTuple):
    """How plots look on one background.

    Attributes:
        suffix: Added to the name of the plot's file.
        own: Colour of this library's bars.
        peer: Colour of the other clients' bars.
        floor: Colour of the bars that show the least possible.
        settings: Those of matplotlib.
    """

    suffix: str
    own: str
    peer: str
    floor: str
    settings: Mapping[str, object]


LIGHT = Theme("", "#c8501e", "#5b7083", "#b9c4cd", {})
_INK = "#cfd0d0"
DARK = Theme(
    "-dark",
    "#f07a45",
    "#8fa5b8",
    "#566572",
    {
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    },
)
PACKAGES = (
    "ecs-role-creds",
    "oss2",
    "alibabacloud-credentials",
    "alibabacloud-oss-v2",
    "alibabacloud-tea-openapi",
    "botocore",
    "requests",
)


class Bars(NamedTuple):
    """A bar for each label."""

    values: Mapping[str, float]
    unit: str
    is_log: bool = True


class Lines(NamedTuple):
    """A line for each label."""

    series: Mapping[str, Sequence[tuple[float, float]]]
    x_label: str
    unit: str


class Section(NamedTuple):
    """One scenario's outcome.

    Attributes:
        name: Of its plot's files.
        title: Its heading.
        about: How it was measured.
        header: The table's.
        rows: The table's.
        chart: What is plotted, if anything.
        notes: What else there is to know: who could not be measured, and why.
    """

    name: str
    title: str
    about: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    chart: Bars | Lines | None = None
    notes: Sequence[str] = ()


def seconds(value: float) -> str:
    """A duration, in the unit it is best read in."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.0f} ns"


def write(sections: Sequence[Section], folder: Path, took: float, *, is_quick: bool) -> Path:
    """Write the page and the plots; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        if section.chart is not None:
            for theme in (LIGHT, DARK):
                _plot(section, folder, theme)
    page = folder / "benchmarks.md"
    page.write_text("\n".join(_lines(sections, took, is_quick)) + "\n", encoding="utf-8")
    return page


def _lines(sections: Sequence[Section], took: float, is_quick: bool) -> list[str]:
    lines = ["# Benchmarks", "", "Made by `make bench`, not typed in.", ""]
    if is_quick:
        lines += ["**A quick run: rough figures.**", ""]
    lines += [*_table(("", ""), list(_surroundings(took).items())), ""]
    lines += [
        "Everybody is measured in one run, in turn, round after round, against the same fake",
        "metadata service on loopback, with logging off. The minimum says what the code costs, the",
        "median what it costs on this machine while others work there too.",
        "",
    ]
    for section in sections:
        lines += [f"## {section.title}", "", section.about, ""]
        lines += [*_table(section.header, section.rows), ""]
        for note in section.notes:
            lines += [f"- {note}"]
        if section.notes:
            lines += [""]
        if section.chart is not None:
            lines += [f"![{section.title}](benchmark-{section.name}.svg)", ""]
    return lines[:-1]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    align = ["---", *["---:"] * (len(header) - 1)] if any(header) else ["---"] * len(header)
    return [f"| {' | '.join(cells)} |" for cells in (header, align, *rows)]


def _surroundings(took: float) -> dict[str, str]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return {
        "Date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, in {took:.0f} s",
        "Machine": f"{_processor()}, {os.cpu_count()} CPUs",
        "System": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Versions": versions,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _plot(section: Section, folder: Path, theme: Theme) -> None:
    chart = section.chart
    settings = {"svg.hashsalt": "benchmarks", "font.size": 9, "axes.axisbelow": True}
    with plt.rc_context({**settings, **theme.settings}):
        if isinstance(chart, Bars):
            figure, axes = plt.subplots(figsize=(7, 0.7 + 0.34 * len(chart.values)))
            _draw_bars(axes, chart, theme)
        else:
            figure, axes = plt.subplots(figsize=(7, 3.6))
            assert chart is not None
            _draw_lines(axes, chart)
        axes.set_title(section.title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        path = folder / f"benchmark-{section.name}{theme.suffix}.svg"
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
        if theme is LIGHT:  # the PNG is for places that show no SVG
            figure.savefig(path.with_suffix(".png"), bbox_inches="tight", dpi=150)
        plt.close(figure)


def _draw_bars(axes: plt.Axes, chart: Bars, theme: Theme) -> None:
    names = list(chart.values)
    colours = [_colour(name, theme) for name in names]
    bars = axes.barh(names, list(chart.values.values()), color=colours)
    axes.bar_label(bars, [_figure(value) for value in chart.values.values()], padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(chart.unit)
    axes.margins(x=0.12)
    if chart.is_log:
        axes.set_xscale("log")
    axes.grid(axis="x", alpha=0.3)


def _draw_lines(axes: plt.Axes, chart: Lines) -> None:
    markers = iter("osv^Dx+*")
    for name, points in chart.series.items():
        xs, ys = zip(*points, strict=True)
        is_own = name.startswith("ecs_role_creds")
        axes.plot(
            xs,
            ys,
            marker=next(markers),
            markersize=4,
            label=name,
            linewidth=2 if is_own else 1,
            zorder=3 if is_own else 2,
        )
    most = max(x for points in chart.series.values() for x, _ in points)
    axes.set_xscale("log", base=2 if most <= 4096 else 10)
    axes.set_yscale("log")
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.unit)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _colour(name: str, theme: Theme) -> str:
    if name.startswith("ecs_role_creds"):
        return theme.own
    return theme.floor if name.startswith("floor") else theme.peer
