# SPDX-License-Identifier: Apache-2.0
"""Tables of what was measured, for terminals and for docs/performance.md."""
HEAD = ("work", "ours, ms", "limit, ms", "of limit", "bound by", "best peer, ms", "ratio")


def ms(x):
    return f"{x:.3g}" if x < 1000 else f"{x:.0f}"


def cells(found):
    ours, best = found["ours"], found["best_peer"]
    peer = found["peers"][best] if best else None
    notes = [] if "failed" not in ours else [ours["failed"]]
    return (found["title"] + "".join(f" ({n})" for n in notes), ms(ours["ms"]), ms(ours["limit_ms"]),
            f"{100 * ours['of_limit']:.0f} %", ours["bound"],
            f"{ms(peer['ms'])} {peer['title']} {peer['variant']}" if peer else "none", f"{found['ratio']:.2f} ×" if peer else "")


def widths():
    return (58, 9, 9, 8, 12, 34, 7)


def line(words):
    return "  ".join(w.ljust(n) if i in (0, 4, 5) else w.rjust(n) for i, (w, n) in enumerate(zip(words, widths()))).rstrip()


def markdown(results):
    """The whole section of a CPU."""
    machine, rows = results["machine"], [r for r in results["rows"] if not r["id"].startswith("series-")]
    text = [f"{machine['cpu']}, {results['threads']} threads, {results['date']}; medians of {results['rounds']} alternating runs"
            + (", in small (--quick): no figures to quote" if results["quick"] else "") + ".", "",
            "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    text += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    names = [n for n in results["peers"] if any(n in r["peers"] and r["peers"][n]["ms"] for r in rows)]
    if names:
        title = {n: next(r["peers"][n]["title"] for r in rows if n in r["peers"]) for n in names}
        text += ["", "All peers, ms of the best spelling of each:", "",
                 "| work | ours | " + " | ".join(title[n] for n in names) + " |", "|---|" + "---|" * (len(names) + 1)]
        for row in rows:
            found = [row["peers"].get(n, {}) for n in names]
            text.append(f"| {row['title']} | {ms(row['ours']['ms'])} | "
                        + " | ".join(f"{ms(f['ms'])} {f['variant']}" if f.get("ms") else "–" for f in found) + " |")
    text += ["", *lines(results)]
    missing = [f"{name}: {why}" for name, why in results["unavailable"].items()]
    return "\n".join(text + (["", "Not measured: " + "; ".join(missing) + "."] if missing else [])) + "\n"


def lines(results):
    """The single figures that the table doesn't show."""
    rows = {row["id"]: row["ours"] for row in results["rows"]}
    out = []
    if "small-512" in rows:
        out.append(f"- A decode over 512 tokens of 4:1 d 256, the plan reused: {1e3 * rows['small-512']['ms']:.1f} µs from call to"
                   " return.")
    a, b = rows.get("series-16384"), rows.get("series-131072")
    if a and b:
        grown, least = b["ms"] / a["ms"], b["limit_ms"] / a["limit_ms"]
        out.append(f"- time(128k) / time(16k) is {grown:.2f}, that of the limits {least:.2f}: {100 * (grown / least - 1):+.0f} %.")
    shares = [row["append_ms"] / row["ms"] for name, row in rows.items() if row["context"] >= 4096 and row["queries"] == 1
              and not name.startswith("series-")]
    if shares:
        out.append(f"- Appending a token to each request takes at most {100 * max(shares):.2f} % of a step at 4k tokens and more.")
    if "portable-64k-int8" in rows and "decode-64k-int8" in rows:
        out.append(f"- int8, 64k: portable takes {rows['portable-64k-int8']['ms'] / rows['decode-64k-int8']['ms']:.2f} of fast's"
                   " time.")
    return out


def failures(results):
    """What didn't agree or couldn't run, one line each."""
    for row in results["rows"]:
        if "failed" in row["ours"]:
            yield f"{row['id']}: {row['ours']['failed']}"
        for peer in row["peers"].values():
            for variant, why in peer["failed"].items():
                if variant == "cannot":  # no such shape
                    continue
                yield f"{row['id']}: {peer['title']} {variant}: {why}"
