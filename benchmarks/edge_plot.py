"""Draws the picture of `benchmarks.edge` from its two tables."""

import csv
from pathlib import Path

from benchmarks import measure

PICTURE = Path(__file__).parents[1] / "docs" / "edge.png"
PRECISIONS = {"float32": "float32", "half": "half: float16, bfloat16", "int8": "integers"}
TITLES = {"MixerB16": "MixerB16, 224 x 224", "MixerTi4": "MixerTi4, 32 x 32"}
OURS, PEERS, PEAK, INK = "#1668b8", "#8a8f98", "#c8501e", "#30343b"
LARGE, SMALL = "MixerB16", "MixerTi4"


def draw(path=None):
    """Draws latencies of both models and the accuracy of the small one, one line per candidate.

    Args:
        path: The file to write; by default `docs/edge.png`.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    path = Path(path or PICTURE)
    speeds = _table("edge")
    accuracies = {row["candidate"]: float(row["accuracy"]) for row in _table("edge_accuracy")}
    rows = {(row["model"], row["candidate"]): row for row in speeds}
    models = [model for model in (LARGE, SMALL) if any(row["model"] == model for row in speeds)]
    places = _places(speeds, models[0])

    panels = len(models) + bool(accuracies)
    height = 0.27 * (max(places.values()) + 1) + 1.8
    figure = Figure(figsize=(4.1 * panels + 2, height), layout="constrained")
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for axis, model in zip(axes, models, strict=False):
        _latencies(axis, model, rows, places)
    if accuracies:
        _accuracies(axes[-1], accuracies, places)
    _names(axes[0], places, speeds)
    first = speeds[0]
    figure.suptitle(
        f"One image at a time on {first['threads']} threads of {first['machine'].split(',')[0]}; "
        "exports of keras_mixer, run by LiteRT, in blue.\n"
        "Peak: time of the model's matmuls alone at LiteRT's throughput in large matmuls.",
        x=0.01,
        ha="left",
        fontsize=10.5,
        linespacing=1.5,
        color=INK,
    )
    figure.savefig(path, dpi=150)
    return path


def _places(speeds, model):
    """Candidate -> vertical position: grouped by precision, the fastest first."""
    medians = {row["candidate"]: float(row["median_ms"]) for row in reversed(speeds)}
    medians |= {r["candidate"]: float(r["median_ms"]) for r in speeds if r["model"] == model}
    precisions = {row["candidate"]: row["precision"] for row in speeds}
    places, place = {}, 0
    for precision in PRECISIONS:
        members = [c for c, p in precisions.items() if p == precision and not _is_peak(c)]
        for candidate in sorted(members, key=medians.get):
            places[candidate] = place = place + 1
        place += 1.6 if members else 0  # space for the next heading
    return places


def _latencies(axis, model, rows, places):
    axis.set_xscale("log")
    times = []
    for candidate, place in places.items():
        row = rows.get((model, candidate))
        if row is None:
            continue
        middle, low, high = (
            float(row[key]) for key in ("median_ms", "quartile_1_ms", "quartile_3_ms")
        )
        times += [low, high]
        axis.plot([low, high], [place, place], color=_colour(candidate), lw=2, alpha=0.45)
        axis.plot(middle, place, "o", ms=6.5, color=_colour(candidate))
        _value(axis, max(middle, high), place, _three_digits(middle), candidate)
    for precision in PRECISIONS:
        group = [c for c in places if (model, c) in rows and _precision(rows, c) == precision]
        shares = [rows[model, c] for c in group if rows[model, c]["share_of_peak"]]
        if shares and precision != "half":  # peak throughput was not measured for it
            time = float(shares[0]["median_ms"]) * float(shares[0]["share_of_peak"])
            times.append(time)
            top, bottom = places[group[0]] - 0.5, places[group[-1]] + 0.5
            axis.plot([time, time], [top, bottom], "--", color=PEAK, lw=1.2, zorder=0.9)
            axis.annotate(
                "peak",
                (time, top),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=PEAK,
            )
    first, last = min(times) / 1.4, max(times) * 2.2
    axis.set_xlim(first, last)
    steps = (1, 2, 5) if last / first < 200 else (1,)  # as many as fit
    ticks = [n * 10**e for e in range(-3, 6) for n in steps]
    axis.set_xticks([tick for tick in ticks if first <= tick <= last])
    axis.minorticks_off()
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axis.set_xlabel("ms an image, median and quartiles", color=INK)
    _style(axis, f"{TITLES.get(model, model)}: latency")


def _accuracies(axis, accuracies, places):
    shown = {c: 100 * value for c, value in accuracies.items() if c in places}
    low, high = min(shown.values()), max(shown.values())
    span = max(high - low, 0.4)
    for candidate, value in shown.items():
        axis.plot(value, places[candidate], "o", ms=6.5, color=_colour(candidate))
        _value(axis, value, places[candidate], f"{value:.2f}", candidate)
    axis.set_xlim(low - 0.1 * span, high + 0.35 * span)
    axis.set_xlabel("% of CIFAR-10's test images", color=INK)
    _style(axis, f"{TITLES[SMALL]}: accuracy")


def _names(axis, places, speeds):
    """The name of each line, and a heading above the lines of each precision."""
    axis.set_ylim(max(places.values()) + 0.8, -0.5)
    axis.set_yticks([*places.values()], [*places])
    for label in axis.get_yticklabels():
        label.set_color(_colour(label.get_text()) if _is_ours(label.get_text()) else INK)
    precisions = {row["candidate"]: row["precision"] for row in speeds}
    for precision, heading in PRECISIONS.items():
        group = [place for c, place in places.items() if precisions[c] == precision]
        if group:
            axis.annotate(
                heading,
                (0, min(group) - 0.85),
                (-8, 0),
                xycoords=axis.get_yaxis_transform(),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=9,
                fontweight="bold",
                color=INK,
            )


def _style(axis, title):
    axis.set_title(title, loc="left", fontsize=11, color=INK)
    for side in ("left", "right", "top"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#e6e8eb", lw=0.8)
    axis.grid(axis="y", color="#f0f1f3", lw=0.8)
    axis.set_axisbelow(True)


def _value(axis, x, place, text, candidate):
    axis.annotate(
        text,
        (x, place),
        (7, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=_colour(candidate) if _is_ours(candidate) else INK,
    )


def _three_digits(value):
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _precision(rows, candidate):
    return next(row["precision"] for (_, name), row in rows.items() if name == candidate)


def _is_ours(candidate):
    return candidate.startswith("keras_mixer ")


def _is_peak(candidate):
    return candidate.startswith("peak ")


def _colour(candidate):
    return OURS if _is_ours(candidate) else PEERS


def _table(name):
    path = measure.RESULTS / f"{name}.csv"
    return [*csv.DictReader(path.read_text().splitlines())] if path.exists() else []
