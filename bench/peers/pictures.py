# SPDX-License-Identifier: Apache-2.0
"""PNGs: a roofline with every point; time against context, one line a system."""
import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

OURS = "mqa"


def finish(axes, figure, results, title, path):
    axes.set_title(f"{title}\n{results['machine']['cpu']}, {results['threads']} threads, {results['date']}", fontsize=9)
    axes.grid(True, which="major", linewidth=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


def roofline(results, folder):
    """Operations a second against operations a byte of K and V. Each work has its own roof, the short line above its point: its
    bandwidth is that of its working set, its peak that of its format's instruction."""
    rows = [r for r in results["rows"] if not r["id"].startswith("series-")]
    if not rows:
        return None
    figure, axes = plt.subplots(figsize=(10, 6))
    seen = set()
    for row in rows:
        ours = row["ours"]
        x, best = ours["ops"] / ours["bytes"], row["best_peer"]
        top, mine = ours["ops"] / ours["limit_ms"] * 1e-6, ours["ops"] / ours["ms"] * 1e-6

        def once(label):
            fresh = label not in seen
            seen.add(label)
            return label if fresh else None
        axes.plot([x, x], [mine, top], color="0.8", linewidth=0.8, zorder=1)
        axes.plot([x], [top], "_", color="black", markersize=12, label=once("limit"))
        axes.plot([x], [mine], "o", color="tab:blue", label=once(OURS))
        axes.annotate(row["id"], (x, mine), fontsize=6, xytext=(4, 3), textcoords="offset points")
        if best:
            axes.plot([x], [ours["ops"] / row["peers"][best]["ms"] * 1e-6], "x", color="tab:red", label=once("best peer"))
    for peak in sorted({round(r["ours"]["limit_gflops"], -1) for r in rows}):
        axes.axhline(peak, color="0.6", linewidth=0.5, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="operations a byte of K and V", ylabel="GFLOP/s")
    axes.legend(fontsize=8)
    return finish(axes, figure, results, "Attention and its limits", os.path.join(folder, "roofline.png"))


def contexts(results, folder):
    rows = [r for r in results["rows"] if r["id"].startswith("series-")]
    if not rows:
        return None
    figure, axes = plt.subplots(figsize=(9, 6))
    n = [r["ours"]["context"] for r in rows]
    axes.plot(n, [r["ours"]["limit_ms"] for r in rows], "k--", linewidth=0.8, label="limit")
    axes.plot(n, [r["ours"]["ms"] for r in rows], "o-", label=OURS)
    for name in results["peers"]:
        points = [(r["ours"]["context"], r["peers"][name]) for r in rows if r["peers"].get(name, {}).get("ms")]
        if points:
            axes.plot([c for c, _ in points], [p["ms"] for _, p in points], ".-", linewidth=0.8, label=points[0][1]["title"])
    axes.set(xlabel="tokens in the cache", ylabel="ms")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(n, [f"{x >> 20}M" if x >= 1 << 20 else f"{x >> 10}k" if x >= 1 << 10 else str(x) for x in n])
    axes.legend(fontsize=8)
    return finish(axes, figure, results, "One decode step, 32:1, head_dim 128", os.path.join(folder, "context.png"))


def draw(results, folder):
    return [path for path in (roofline(results, folder), contexts(results, folder)) if path]
