"""Turns the simulations' outcomes into docs/explanation/scale.md and its plots."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from simulation import seldom, year
from simulation.clients import MINUTE, Client
from simulation.fleet import HOST, HOSTS, Day, Fleet
from simulation.process import Tally
from simulation.seldom import Left
from simulation.service import HOUR

INK = "#768390"
"""Readable on light and on dark backgrounds; the plots have none of their own."""

WIDTH = 120

COLOURS = ("#e5683a", "#4c9be8", "#3fae6a", "#a879e6", "#c9a227", "#3bb8b0", "#d6619b")


class Outcome(NamedTuple):
    """What was simulated, by client."""

    days: Mapping[Fleet, Sequence[Day]]
    years: Mapping[type[Client], Sequence[Tally]]
    lives: Mapping[type[Client], Sequence[Left]]
    took: float


def write(outcome: Outcome, folder: Path) -> Path:
    """Write the page and the plots; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for fleet, name in ((HOST, "host"), (HOSTS, "hosts")):
        _plot_outage(outcome.days[fleet], fleet, folder / f"scale-outage-{name}.svg")
    _plot_year(outcome, folder / "scale-year.svg")
    page = folder / "scale.md"
    page.write_text("\n".join(_page(outcome)) + "\n", encoding="utf-8")
    return page


def _page(outcome: Outcome) -> list[str]:
    return [
        "# Scale",
        "",
        *_text(
            f"Made by `make fleet` in {outcome.took:.0f} s of one processor's time, not typed in. "
            "This is a simulation on a virtual clock: nothing here was measured on the wire. "
            "[Benchmarks](../benchmarks.md) has what was."
        ),
        *_text(
            "How many requests does a fleet send, and when? What do callers notice of an outage? "
            "The simulation runs this library's real `State` and `schedule` through days and "
            "years. Beside it run the schedules of other clients, each a small class that follows "
            "its source."
        ),
        *_assumptions(),
        *_fleet_sections(outcome),
        *_year_section(outcome),
        *_seldom_section(outcome),
        *_sources(outcome),
    ]


def _assumptions() -> list[str]:
    return [
        "## What is simulated",
        "",
        *_items(
            "A token is valid for six hours. The service has the next one 30 minutes before it "
            "expires.",
            "A process asks its provider for credentials once a second, or as soon after that as "
            "the last call returns.",
            "The service answers at once, or in an outage not at all. It has no limit on requests, "
            "so processes do not influence each other.",
            "Clients of other clouds are run against this service's rotation.",
            "Each client has its default settings. The role is named where the client takes a "
            "name.",
        ),
    ]


def _fleet_sections(outcome: Outcome) -> list[str]:
    lines = [
        "## A day of a fleet",
        "",
        *_text(
            "Every process starts within ten minutes. At 13:00 all of them restart within a "
            "minute. An outage of ten minutes begins at the moment after 16:00 at which each "
            "client would first ask for its next token: for each of them the worst time."
        ),
        *_items(
            "**a day**: requests of one process in the day.",
            "**even**: requests of the whole fleet in a second, if the day's were spread evenly.",
            "**rotation**, **restart**, **outage**, **minute after**: requests of the whole fleet "
            "in the busiest second of the rotations, of the restart, of the outage, and of the "
            "minute after it.",
            "**held up**, **failed**, **expired**: calls of one process that waited, that raised "
            "an error, and that were given an expired token, from the outage's beginning to an "
            "hour after its end. **longest** is the longest wait.",
        ),
    ]
    for fleet, name in ((HOST, "host"), (HOSTS, "hosts")):
        lines += [f"### {fleet.name[0].upper()}{fleet.name[1:]}", ""]
        lines += _text(
            "They share one token, so all of them need the next one at the same time."
            if fleet.shares_a_host
            else "Each host's first token is issued as the host starts."
        )
        lines += [*_fleet_table(outcome.days[fleet], fleet), ""]
        sampled = [day for day in outcome.days[fleet] if day.simulated < fleet.processes]
        if sampled:
            names = ", ".join(f"{day.client.name} ({day.simulated:,})" for day in sampled)
            lines += _text(
                f"Of these, part of the fleet was simulated, and its requests multiplied: {names}. "
                "That is exact where all processes ask in each second. Elsewhere their busiest "
                "second is too high by chance."
            )
        lines += [f"![Requests around the outage, {fleet.name}](scale-outage-{name}.svg)", ""]
    return lines


def _fleet_table(days: Sequence[Day], fleet: Fleet) -> list[str]:
    header = (
        *("client", "a day", "even", "rotation", "restart", "outage", "minute after"),
        *("held up", "longest", "failed", "expired"),
    )
    rows = []
    for day in days:
        tally, count = day.tally, day.simulated
        rows.append(
            (
                day.client.name,
                _figure(day.a_day / fleet.processes),
                _figure(day.a_day / (24 * HOUR)),
                *(_figure(one) for one in (day.rotations, day.restart, day.during, day.after)),
                _figure(tally.held_up / count),
                f"{tally.longest:.3g} s" if tally.longest else "0",
                _figure(tally.failed / count),
                _figure(tally.expired / count),
            )
        )
    return _table(header, rows)


def _year_section(outcome: Outcome) -> list[str]:
    lengths = [_length(length) for length in year.LENGTHS]
    without, held_up, longest = [], [], []
    for client, tallies in outcome.years.items():
        without.append((client.name, *(_figure(one.without / MINUTE) for one in tallies)))
        held_up.append((client.name, *(f"{one.held_up:,}" for one in tallies)))
        longest.append(
            (client.name, *(_figure(one.expired / MINUTE) for one in tallies), _longest(tallies))
        )
    return [
        "## A year of one busy host",
        "",
        *_text(
            f"The metadata service goes down {year.WEEKS} times, once a week at a random time, "
            "each time for as long as the column says. Minutes in the year in which the "
            "application had nothing valid to sign with, because calls raised an error or were "
            "given an expired token:"
        ),
        *_table(("client", *lengths), without),
        "",
        *_text("Calls in the year that waited for the service in vain:"),
        *_table(("client", *lengths), held_up),
        "",
        *_text(
            "Minutes in the year in which expired tokens were handed out, and the longest wait:"
        ),
        *_table(("client", *lengths, "longest"), longest),
        "",
        "![Minutes without valid credentials in a year](scale-year.svg)",
        "",
    ]


def _seldom_section(outcome: Outcome) -> list[str]:
    pauses = [_length(pause) for pause in seldom.PAUSES]

    def shares(lefts: Sequence[Left]) -> list[str]:
        return [
            " / ".join(
                _share(count, one.calls)
                for count in (one.under_a_minute, one.under_5_s, one.expired)
            )
            for one in lefts
        ]

    return [
        "## A process that calls seldom",
        "",
        *_text(
            f"One call, then a pause of about so long, through up to {seldom.LIVES:,} lives of the "
            f"token (at most {seldom.MAX_CALLS:,} calls). The service always answers. The share of "
            "calls that were given a token with less than 60 s of life left, with less than 5 s, "
            "and an expired one:"
        ),
        *_table(
            ("client", *pauses), [(c.name, *shares(lefts)) for c, lefts in outcome.lives.items()]
        ),
        "",
        "The least life left in a token that was handed out:",
        "",
        *_table(
            ("client", *pauses),
            [
                (c.name, *(_length(round(one.least, 1)) for one in lefts))
                for c, lefts in outcome.lives.items()
            ],
        ),
        "",
    ]


def _sources(outcome: Outcome) -> list[str]:
    rows = [
        (client.name, " ".join((client.__doc__ or "").split()).replace("``", "`"), client.source)
        for client in outcome.years
    ]
    return [
        "## Schedules and sources",
        "",
        *_table(("client", "schedule", "source"), rows, align="---"),
        "",
        "The classes are in `tests/simulation/clients.py`.",
    ]


def _text(paragraph: str) -> list[str]:
    return [*textwrap.wrap(paragraph, WIDTH, break_on_hyphens=False), ""]


def _items(*items: str) -> list[str]:
    lines = [
        textwrap.fill(item, WIDTH, initial_indent="- ", subsequent_indent="  ") for item in items
    ]
    return [*lines, ""]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "---:") -> list[str]:
    aligned = ["---", *[align] * (len(header) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (header, aligned, *rows)]


def _figure(value: float) -> str:
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.05 else "< 0.1"


def _share(count: int, calls: int) -> str:
    return f"{100 * count / calls:.2f} %" if count else "0"


def _longest(tallies: Sequence[Tally]) -> str:
    longest = max(one.longest for one in tallies)
    return f"{longest:.3g} s" if longest else "0"


def _length(seconds: float) -> str:
    for scale, unit in ((HOUR, "h"), (MINUTE, "min")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s"


# Plots.


def _plot_outage(days: Sequence[Day], fleet: Fleet, path: Path) -> None:
    with plt.rc_context(_style()):
        figure, axes = plt.subplots(figsize=(8, 4))
        axes.axvspan(0, 10, color=INK, alpha=0.15, linewidth=0)
        for day, colour in zip(days, COLOURS, strict=False):
            xs, ys = zip(*day.curve, strict=True)
            is_own = day.client is days[0].client
            axes.plot(
                xs,
                ys,
                color=colour,
                label=day.client.name,
                linewidth=2.2 if is_own else 1.2,
                zorder=3 if is_own else 2,
            )
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("minutes since the outage began (shaded)")
        axes.set_ylabel("requests a second, over 10 s")
        axes.set_title(fleet.name, loc="left")
        _save(figure, axes, path)


def _plot_year(outcome: Outcome, path: Path) -> None:
    with plt.rc_context(_style()):
        figure, axes = plt.subplots(figsize=(8, 4))
        minutes = [length / MINUTE for length in year.LENGTHS]
        for (client, tallies), colour in zip(outcome.years.items(), COLOURS, strict=False):
            is_own = client is next(iter(outcome.years))
            axes.plot(
                minutes,
                [one.without / MINUTE for one in tallies],
                color=colour,
                marker="o",
                markersize=4,
                label=client.name,
                linewidth=2.2 if is_own else 1.2,
                zorder=3 if is_own else 2,
            )
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_xticks(minutes, [_length(length) for length in year.LENGTHS])
        axes.minorticks_off()
        axes.set_xlabel("length of each of 52 outages")
        axes.set_ylabel("minutes in the year")
        axes.set_title("Without valid credentials", loc="left")
        _save(figure, axes, path)


def _style() -> dict[str, object]:
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    return {
        "svg.hashsalt": "scale",
        "font.size": 9,
        "axes.axisbelow": True,
        "grid.color": INK,
        **dict.fromkeys(inks, INK),
    }


def _save(figure: plt.Figure, axes: plt.Axes, path: Path) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, bbox_inches="tight", transparent=True, metadata={"Date": None})
    plt.close(figure)
