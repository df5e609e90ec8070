"""Draws the plots of `cargo xtask paper` from its tables: plot.py DIRECTORY PLOT...

Each plot is written as SVG and as PNG. Colours are those of Okabe and Ito, which people who see
fewer colours can tell apart, too.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, MaxNLocator

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6E6E6E"

plt.rcParams.update(
    {
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.labelsize": 10,
        "legend.fontsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "figure.constrained_layout.use": True,
        # Text stays text, which can be searched, and the same data makes the same file.
        "svg.fonttype": "none",
        "svg.hashsalt": "l2sces",
        "savefig.dpi": 200,
    }
)


def read(directory, name):
    with open(directory / name, newline="") as file:
        return list(csv.DictReader(file))


def h1_setup_time(directory):
    rows = read(directory, "setup_time.csv")
    paper = [
        (float(row["share"]), float(row["estimate_ms"]))
        for row in read(directory, "setup_time_published.csv")
    ]
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    for column, style, label in [
        ("estimate_from_provider_ms", {"color": BLUE}, "l2sces, from the request at the provider"),
        (
            "estimate_from_request_ms",
            {"color": GREEN, "linestyle": "-."},
            "l2sces, from the request of a user",
        ),
    ]:
        ours = sorted(float(row[column]) for row in rows)
        shares = [(number + 1) / len(ours) for number in range(len(ours))]
        label += f" ({len(ours)} runs)"
        axes.step([ours[0], *ours], [0, *shares], where="post", label=label, **style)
    axes.plot(
        [estimate for _, estimate in paper],
        [share for share, _ in paper],
        color=RED,
        linestyle="--",
        marker="o",
        markersize=5,
        label="L2S-CES, quantiles published (74 runs)",
    )
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes.annotate(
        "median", (1, 0.5), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=GREY
    )
    # Clocks that differ made one of the published estimates negative.
    axes.set_xscale("symlog", linthresh=10, linscale=1)
    axes.set_xlim(-10, 2000)
    axes.set_xticks([-10, 0, 10, 100, 1000])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.set_xlabel("time to set a network up (ms; linear up to 10, then logarithmic)")
    axes.set_ylabel("share of networks")
    axes.legend(loc="lower right")
    return figure


def h2_processor(directory):
    rows = read(directory, "processor.csv")
    paper = read(directory, "processor_published.csv")
    clusters = [row["cluster"] for row in paper]
    loads = [("quiet", BLUE), ("busy", GREEN)]
    sums = defaultdict(float)
    programs = defaultdict(float)
    windows = defaultdict(set)
    for row in rows:
        cores = 1000 * float(row["cores"])
        sums[row["cluster"], row["load"], row["window"]] += cores
        programs[row["program"], row["load"]] += cores
        windows[row["load"]].add(row["window"])

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.8), width_ratios=[1, 1.15])
    width = 0.27
    places = range(len(clusters))
    bars = [("L2S-CES, published", RED, -1, [(1000 * float(row["cores"]), 1000 * float(row["deviation"])) for row in paper])]
    for offset, (load, color) in enumerate(loads):
        figures = []
        for cluster in clusters:
            values = [sums[cluster, load, window] for window in windows[load]]
            figures.append((mean(values), stdev(values) if len(values) > 1 else 0))
        bars.append((f"l2sces, {load}", color, offset, figures))
    for label, color, offset, figures in bars:
        drawn = left.bar(
            [place + offset * width for place in places],
            [value for value, _ in figures],
            width,
            yerr=[deviation for _, deviation in figures],
            capsize=2,
            error_kw={"linewidth": 0.9},
            color=color,
            label=label,
        )
        left.bar_label(drawn, fmt="%.1f", fontsize=8, padding=2)
    left.set_xticks(list(places), clusters)
    left.set_ylabel("processors busy (millicores)")
    left.set_title("by cluster: mean and standard deviation")
    left.grid(axis="x", visible=False)
    left.margins(y=0.12)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)

    names = sorted({program for program, _ in programs}, key=lambda name: programs[name, "busy"])
    for offset, (load, color) in zip((0.2, -0.2), loads):
        values = [programs[name, load] / len(windows[load]) for name in names]
        drawn = right.barh(
            [place + offset for place in range(len(names))], values, 0.38, color=color
        )
        right.bar_label(drawn, fmt="%.2f", fontsize=8, padding=2)
    right.set_yticks(range(len(names)), names)
    right.set_xlabel("processors busy (millicores)")
    right.set_title("by component of l2sces: all of its processes")
    right.grid(axis="y", visible=False)
    right.margins(x=0.14)
    return figure


def h3_isolation(directory):
    return packets(directory, "isolation", {"ping": ORANGE, "nmap": BLUE, "control": GREEN})


def h4_broadcast(directory):
    return packets(directory, "broadcast", {"broadcast": ORANGE, "multicast": BLUE, "control": GREEN})


def packets(directory, experiment, colors):
    """What each pod saw, one above the other, with what happened meanwhile behind."""
    pods = defaultdict(list)
    for row in read(directory, f"{experiment}_packets.csv"):
        pods[row["label"]].append(int(row["packets"]))
    events = read(directory, f"{experiment}_events.csv")
    seconds = max(len(counts) for counts in pods.values())
    figure, all_axes = plt.subplots(
        len(pods), 1, figsize=(7.2, 1.45 * len(pods) + 0.9), sharex=True, sharey=True
    )
    for axes, (label, counts) in zip(all_axes, pods.items()):
        for event in events:
            axes.axvspan(
                float(event["began_s"]),
                float(event["ended_s"]),
                color=colors[event["event"]],
                alpha=0.22,
                linewidth=0,
                label=event["event"],
            )
        axes.stairs(counts, range(len(counts) + 1), color="black", linewidth=1.3, baseline=None)
        axes.set_title(f"{label}: {sum(counts)} packets", loc="left")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    all_axes[0].set_xlim(0, seconds)
    all_axes[0].set_ylim(bottom=0)
    all_axes[-1].set_xlabel("time (s)")
    figure.supylabel("packets per second, sent and received", fontsize=10)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
    return figure


def main():
    directory, names = Path(sys.argv[1]), sys.argv[2:]
    plots = {plot.__name__: plot for plot in (h1_setup_time, h2_processor, h3_isolation, h4_broadcast)}
    for name in names:
        figure = plots[name](directory)
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
        figure.savefig(directory / f"{name}.png")
        plt.close(figure)


main()
