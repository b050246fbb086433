#!/usr/bin/env python3
"""Draws docs/mesh-curves.png from target/mesh-curves.json, which `make bench-mesh` writes."""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
COLOURS = {0: "tab:blue", 5: "tab:orange", 20: "tab:red"}


def series(rows, part, key):
    """By loss: sizes, medians, least and greatest values."""
    values = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["part"] == part and row[key] is not None:
            values[row["loss_percent"]][row["nodes"]].append(row[key])
    for loss, by_size in sorted(values.items()):
        sizes = sorted(by_size)
        of = [by_size[size] for size in sizes]
        yield loss, sizes, [statistics.median(v) for v in of], [min(v) for v in of], [max(v) for v in of]


def draw(axes, rows, part, key, name, style="-", colour=None):
    for loss, sizes, medians, least, most in series(rows, part, key):
        label = f"{name}, {loss} % loss" if colour is None else name
        line = colour or COLOURS[loss]
        axes.plot(sizes, medians, style, color=line, marker="o", label=label)
        axes.fill_between(sizes, least, most, color=line, alpha=0.15, linewidth=0)


def main():
    rows = json.loads((ROOT / "target/mesh-curves.json").read_text())
    figure, (time, delivery, control) = plt.subplots(1, 3, figsize=(15, 4.5))
    draw(time, rows, "cold start", "converged_s", "cold start")
    draw(time, rows, "churn", "converged_s", "after churn", "--", "tab:green")
    draw(time, rows, "heal", "converged_s", "partition healed", ":", "tab:purple")
    time.set(title="time until everybody reaches everybody", ylabel="seconds", yscale="log")
    draw(delivery, rows, "traffic", "delivered", "delivered")
    draw(delivery, rows, "traffic", "possible", "by the best way", ":")
    draw(delivery, rows, "churn", "delivered", "under churn", "--", "tab:green")
    delivery.set(title="probe frames that arrive", ylabel="share", ylim=(0, 1.03))
    draw(control, rows, "rest", "control_bytes_s_node", "at rest")
    draw(control, rows, "churn", "control_bytes_s_node", "under churn", "--", "tab:green")
    control.set(title="control traffic", ylabel="bytes a second and node", yscale="log")
    for axes in (time, delivery, control):
        axes.set(xscale="log", xlabel="nodes")
        axes.grid(True, which="major", alpha=0.3)
        axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(ROOT / "docs/mesh-curves.png", dpi=100, metadata={"Software": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
