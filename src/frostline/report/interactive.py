"""Charts of a panel that one can look into: figures of plotly, as JSON. One colour an arm's value, everywhere."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from frostline.draw.colours import FAINT, INK, QUIET
from frostline.report.arms import Arm
from frostline.report.compared import turned
from frostline.report.curve import Floats, Unit
from frostline.report.judged import Judged
from frostline.report.looks import Look
from frostline.report.parts import ARCHITECTURE, SCHEDULE
from frostline.report.reached import reached, seconds_of, validating
from frostline.statistics.pareto import pareto
from frostline.statistics.student import Interval

Chart = dict[str, Any]  # title, words, height in px, figure as JSON
COSTS = {
    "train_seconds": "seconds of training",
    "params_total": "parameters",
    "multiply_adds": "multiply-adds for a picture",
    "predict_ms": "milliseconds to predict a picture",
}
SYMBOLS = {"o": "circle", "D": "diamond", "s": "square", "^": "triangle-up", "v": "triangle-down", "P": "cross"}
SYMBOLS |= {"X": "x", "<": "triangle-left", "p": "pentagon", "h": "hexagon"}
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
ROW = 26  # px of an arm
_MENU = {"type": "buttons", "direction": "right", "x": 0, "xanchor": "left", "y": 1.04, "yanchor": "bottom"}


def charts(judged: Judged, look: Look) -> list[Chart]:
    """Those that the panel has something for."""
    made = [seeds(judged, look), differences(judged, look), heat_map(judged), curves(judged, look)]
    made += [timed(judged, look), costs(judged, look)]
    return [chart for chart in made if chart is not None]


def seeds(judged: Judged, look: Look) -> Chart:
    """Each run a dot, those of a seed joined, and the arm's interval over seeds."""
    figure, names = go.Figure(), list(judged.arms)
    for seed in dict.fromkeys(run.result.seed for arm in judged.panel.arms for run in arm.runs):
        points = [
            (run.result.quality, _safe(arm.name))
            for arm in judged.panel.arms
            for run in arm.runs
            if run.result.seed == seed
        ]
        figure.add_scatter(
            x=[value for value, _ in points], y=[name for _, name in points], mode="lines", hoverinfo="skip",
            line={"color": FAINT, "width": 1}, name=f"seed {seed}", showlegend=False,
        )  # fmt: skip
    for arm in judged.panel.arms:
        told = [f"{_safe(arm.name)}, seed {run.result.seed}" for run in arm.runs]
        figure.add_scatter(
            x=arm.values, y=[_safe(arm.name)] * len(arm.values), mode="markers", text=told, name="",
            marker={"color": look.colour(arm), "size": 9, "symbol": _symbol(arm, look), "line": _edge()},
            hovertemplate="%{text}: %{x:.4f}", showlegend=False,
        )  # fmt: skip
        if interval := judged.summaries[arm.name].interval:
            mean = judged.summaries[arm.name].seen.mean
            figure.add_scatter(
                x=[mean], y=[_safe(arm.name)], error_x=_bar(mean, interval, look.colour(arm)), mode="markers",
                marker={"color": look.colour(arm), "symbol": "line-ns-open", "size": 16}, showlegend=False, name="",
                hovertemplate=f"{_safe(arm.name)}: mean {mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]",
            )  # fmt: skip
    values = [value for arm in judged.panel.arms for value in arm.values if math.isfinite(value)]
    words = "Higher is better. A dot is a run, lines join those of a seed, bars are 95 % intervals of the mean."
    # An interval of two seeds may be wider than all that can be: the axis is of what was seen.
    room = max(0.25 * (max(values) - min(values)), 0.01) if values else 1
    x = {"title": judged.panel.primary, "range": [min(values) - room, max(values) + room]} if values else {}
    return _chart(figure, "Every run", words, 90 + ROW * len(names), xaxis=x, yaxis=_rows(names))


def differences(judged: Judged, look: Look) -> Chart | None:
    """Each arm less the candidate, with intervals over seeds and over pictures, and the band of the margin."""
    found = judged.champion
    if found is None:
        return None
    figure, names = go.Figure(), list(found.pairs)
    for name, pair in found.pairs.items():
        mean, colour = -pair.differences.mean, look.colour(judged.arms[name])
        if not math.isfinite(mean):
            continue
        told = f"{_safe(name)}: {mean:+.4f}"
        bar = None
        if interval := pair.interval:
            told += f" [{interval.turned.low:.4f}, {interval.turned.high:.4f}], {turned(pair.verdict)}"
            bar = _bar(mean, interval.turned, colour)
        marker = {"color": colour, "size": 10, "symbol": _symbol(judged.arms[name], look), "line": _edge()}
        figure.add_scatter(
            x=[mean],
            y=[_safe(name)],
            error_x=bar,
            marker=marker,
            mode="markers",
            hovertemplate=told,
            name="",
            showlegend=False,
        )
    figure.add_vline(0, line={"color": INK, "width": 1})
    words = f"Each arm less {found.candidate}, paired by seed, with 95 % intervals."
    if judged.margin is not None:
        figure.add_vrect(-judged.margin, judged.margin, fillcolor=FAINT, opacity=0.35, line_width=0)
        words += f" In the band, ±{judged.margin:g}, a difference does not matter."
    x = {"title": f"difference in {judged.panel.primary}"}
    title = f"Against {found.candidate}"
    return _chart(figure, title, words, 90 + ROW * len(names), xaxis=x, yaxis=_rows(names))


def heat_map(judged: Judged) -> Chart | None:
    """Schedules against architectures, the mean over seeds and over whatever else varies."""
    panel = judged.panel
    if not {ARCHITECTURE, SCHEDULE} <= set(panel.columns):
        return None
    columns, rows = (list(dict.fromkeys(arm.facets[axis] for arm in panel.arms)) for axis in (SCHEDULE, ARCHITECTURE))
    means = np.full((len(rows), len(columns)), np.nan)
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            own = [a.mean for a in panel.arms if (a.facets[ARCHITECTURE], a.facets[SCHEDULE]) == (row, column)]
            means[y, x] = np.mean(own) if own else np.nan
    text = [[f"{value:.3f}" if math.isfinite(value) else "" for value in line] for line in means]
    figure = go.Figure(
        go.Heatmap(
            z=_plain(means), x=columns, y=rows, text=text, texttemplate="%{text}", colorscale="Cividis", name="",
            hovertemplate="%{y}, %{x}: %{z:.4f}", colorbar={"thickness": 12},
        )
    )  # fmt: skip
    words = f"Mean {panel.primary} over the seeds."
    return _chart(figure, "Schedule and architecture", words, 120 + 40 * len(rows), yaxis=_rows(rows))


def curves(judged: Judged, look: Look) -> Chart | None:
    """The validation metric with its band over seeds; hollow dots while part is frozen. By images or by seconds."""
    figure, shown = go.Figure(), []
    units: tuple[Unit, ...] = ("images", "seconds")
    for arm in judged.panel.arms:
        if arm.curve is None:
            continue
        for unit in units:
            for trace in _curve(arm, unit, look):
                figure.add_trace(trace.update(visible=unit == "images"))
                shown.append(unit)
    if not shown:
        return None
    buttons = [
        {"label": unit, "method": "update", "args": [{"visible": [one == unit for one in shown]}]} for unit in units
    ]
    words = "The validation metric against what was trained: mean and range over seeds; hollow while part is frozen."
    y = {"title": judged.panel.primary}
    menu = [{"buttons": buttons, **_MENU}]
    return _chart(figure, "Learning curves", words, 420, yaxis=y, updatemenus=menu, showlegend=True)


def timed(judged: Judged, look: Look) -> Chart | None:
    """The best validation metric so far against the seconds of one run, and the test figure at its end."""
    beside, figure = validating(judged.panel), go.Figure()
    for arm in judged.panel.arms:
        line, end, colour = reached(arm, beside), seconds_of(arm, beside), look.colour(arm)
        if line is None:
            continue
        x = np.repeat(line.seconds, 2)[1:]  # in steps: what was best stays so until an epoch ends that is better
        low, best, high = (np.repeat(values, 2)[:-1] for values in (line.low, line.best, line.high))
        figure.add_trace(_band(x, low, high, arm, look))
        figure.add_scatter(
            x=_plain(x), y=_plain(best), mode="lines", name=_safe(arm.name), legendgroup=arm.name,
            line={"color": colour, "dash": DASHES[look.line(arm)], "width": 2},
            hovertemplate="%{y:.4f} on validation after %{x:.4g} s",
        )  # fmt: skip
        figure.add_scatter(
            x=_plain([end]), y=_plain([arm.mean]), mode="markers", showlegend=False, legendgroup=arm.name, name="",
            marker={"color": colour, "size": 11, "symbol": _symbol(arm, look), "line": _edge()},
            hovertemplate=f"{_safe(arm.name)}: %{{y:.4f}} on the test split after %{{x:.4g}} s",
        )  # fmt: skip
    if not figure.data:
        return None
    words = "Lines: the best validation metric so far, mean and range over seeds; marks: the test figure at the end."
    axes = {"xaxis": {"title": "seconds of one run", "type": "log"}, "yaxis": {"title": judged.panel.primary}}
    return _chart(figure, "Quality against seconds", words, 420, showlegend=True, **axes)


def costs(judged: Judged, look: Look) -> Chart:
    """Quality against what it costs, with the arms that no other beats in both."""
    figure, shown = go.Figure(), []
    known = [cost for cost in COSTS if all(arm.mean_of(cost) > 0 for arm in judged.panel.arms)]
    ranked = judged.panel.ranked
    for cost in known:
        edge = pareto([(arm.mean_of(cost), arm.mean) for arm in ranked])
        x, y = [ranked[n].mean_of(cost) for n in edge], [ranked[n].mean for n in edge]
        edged: Chart = {"color": QUIET, "width": 1, "shape": "hv"}
        figure.add_scatter(x=x, y=y, mode="lines", line=edged, name="Pareto edge", hoverinfo="skip", showlegend=False)
        shown.append(cost)
        for arm in judged.panel.arms:
            figure.add_scatter(
                x=[arm.mean_of(cost)], y=[arm.mean], mode="markers", name=_safe(arm.name), showlegend=cost == known[0],
                marker={"color": look.colour(arm), "size": 12, "symbol": _symbol(arm, look), "line": _edge()},
                hovertemplate=f"{_safe(arm.name)}: %{{y:.4f}} at %{{x:.4g}}<extra></extra>", legendgroup=arm.name,
            )  # fmt: skip
            shown.append(cost)
    for trace, cost in zip(figure.data, shown, strict=True):
        trace.visible = cost == (known or [""])[0]
    buttons = [
        {
            "label": COSTS[cost].partition(" ")[0],
            "method": "update",
            "args": [{"visible": [one == cost for one in shown]}, {"xaxis.title.text": COSTS[cost]}],
        }
        for cost in known
    ]
    menu = [{"buttons": buttons, **_MENU}]
    words = "Up and left is better; the line joins the arms that no other beats in both."
    axes = {"xaxis": {"title": COSTS[known[0]] if known else "", "rangemode": "tozero"}}
    axes["yaxis"] = {"title": judged.panel.primary}
    return _chart(figure, "What it costs", words, 420, updatemenus=menu, showlegend=True, **axes)


def _curve(arm: Arm, unit: Unit, look: Look) -> list[Any]:
    assert arm.curve
    x, colour = getattr(arm.curve, unit), look.colour(arm)
    band = _band(x, arm.curve.low, arm.curve.high, arm, look)
    line = {"color": colour, "dash": DASHES[look.line(arm)], "width": 2}
    symbols = ["circle-open" if share < 1 else "circle" for share in arm.curve.share]
    told = [
        f"{depth} groups frozen" if share < 1 else "all trains"
        for depth, share in zip(arm.curve.depth, arm.curve.share, strict=True)
    ]
    mean = go.Scatter(
        x=_plain(x), y=_plain(arm.curve.mean), mode="lines+markers", line=line, marker={"symbol": symbols, "size": 6},
        name=_safe(arm.name), legendgroup=arm.name, text=told, hovertemplate="%{y:.4f} at %{x:.4g}, %{text}",
    )  # fmt: skip
    return [band, mean]


def _band(x: Floats, low: Floats, high: Floats, arm: Arm, look: Look) -> Any:
    return go.Scatter(
        x=_plain(np.concatenate([x, x[::-1]])), y=_plain(np.concatenate([high, low[::-1]])), fill="toself",
        fillcolor=look.colour(arm), opacity=0.12, line={"width": 0}, hoverinfo="skip", showlegend=False,
        legendgroup=arm.name,
    )  # fmt: skip


def _chart(figure: Any, title: str, words: str, height: int, **layout: Any) -> Chart:
    top = 46 if "updatemenus" in layout else 12
    figure.update_layout(
        template="plotly_white", height=height, margin={"l": 10, "r": 10, "t": top, "b": 10},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK}, legend={"orientation": "h", "y": -0.2},
        dragmode=False, **layout,
    )  # fmt: skip
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return {"title": title, "words": words, "height": height, "figure": figure.to_json()}


def _rows(names: Sequence[str]) -> dict[str, Any]:
    return {
        "autorange": "reversed",
        "categoryorder": "array",
        "categoryarray": [_safe(name) for name in names],
        "type": "category",
    }


def _bar(mean: float, interval: Interval, colour: str) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "array": [interval.high - mean], "arrayminus": [mean - interval.low],
        "color": colour, "thickness": 2, "width": 5,
    }  # fmt: skip


def _edge() -> dict[str, Any]:
    return {"color": "white", "width": 1}


def _symbol(arm: Arm, look: Look) -> str:
    return SYMBOLS[look.marker(arm)]


def _safe(text: str) -> str:
    """As plotly shows it: it takes some HTML in texts."""
    return escape(text, quote=False)


def _plain(values: Any) -> list[Any]:
    """NaN as None, which JSON knows."""
    return [_plain(one) if np.ndim(one) else (float(one) if math.isfinite(one) else None) for one in values]
