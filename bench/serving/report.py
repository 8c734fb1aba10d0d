"""Tables of the results, and the bars."""

import statistics

from serving import batch
from serving.cases import CASES, CONNECTIONS, OURS


class Bars:
    """Bars that are checked, and the missed ones. The numbers of a smoke test mean nothing."""

    def __init__(self, strict):
        self.strict, self.missed = strict, []

    def cell(self, title, value, least=None, most=None, unit=""):
        """Returns `value (at least BAR, met)`."""
        if not self.strict:
            return f"{value:.4g}{unit}"
        bar, met = (most, value <= most) if least is None else (least, value >= least)
        bound = f"at {'most' if least is None else 'least'} {bar:.4g}{unit}"
        if not met:
            self.missed.append(f"{title}: {value:.4g}{unit}, expected {bound}")
        return f"{value:.4g}{unit} ({bound}, {'met' if met else '**missed**'})"


def of(lines, **wanted):
    return [line for line in lines if wanted.items() <= line.items()]


def middle(lines, key):
    return statistics.median(line[key] for line in lines)


def spread(lines, key, scale=1):
    """Returns the median, and the range if there are several values."""
    values = sorted(line[key] * scale for line in lines)
    text = f"{statistics.median(values):.4g}"
    return text if values[0] == values[-1] else f"{text} ({values[0]:.4g} to {values[-1]:.4g})"


def load(lines, name, bars):
    """Returns the tables of a trainer: all servers, then the ratios with their bars."""
    case = CASES[name]
    titles = [f"requests/s at {count} | p50, ms | p99, ms" for count in CONNECTIONS]
    width = 3 + 3 * len(CONNECTIONS)
    counts = ", ".join(map(str, CONNECTIONS))
    table = [
        f"## {name}, at {counts} connections",
        "",
        f"| server | start, ms | memory, MB | {' | '.join(titles)} |",
    ]
    table.append("|---" * width + "|")
    for side in (OURS, *case.peers):
        servers = of(lines, case=name, side=side, what="server")
        cells = [side, spread(servers, "start_seconds", 1e3), spread(servers, "peak_bytes", 1e-6)]
        for count in CONNECTIONS:
            loads = of(lines, case=name, side=side, what="load", connections=count)
            cells += [spread(loads, "requests_per_second"), spread(loads, "p50_seconds", 1e3)]
            cells += [spread(loads, "p99_seconds", 1e3)]
        table.append(f"| {' | '.join(cells)} |")
    table += ["", f"Ratios `serve` / server at {case.connections} connections, medians:", ""]
    table += ["| server | requests/s | p99 | memory |", "|---|---|---|---|"]
    for peer in case.peers:
        ratio = ratios(lines, case, peer)
        title = f"{name}, {peer}"
        cells = [
            bars.cell(f"{title}, requests/s", ratio["requests"], least=case.requests),
            bars.cell(f"{title}, p99", ratio["p99"], most=case.p99),
            bars.cell(f"{title}, memory", ratio["memory"], most=case.memory),
        ]
        table.append(f"| {peer} | {' | '.join(cells)} |")
    start = middle(of(lines, case=name, side=OURS, what="server"), "start_seconds")
    cell = bars.cell(f"{name}, start", start * 1e3, most=case.start * 1e3, unit=" ms")
    return [*table, "", f"From process start to the first answer: {cell}.", ""]


def ratios(lines, case, peer):
    def ratio(key, **wanted):
        ours, theirs = (
            middle(of(lines, case=case.trainer, side=side, **wanted), key) for side in (OURS, peer)
        )
        return ours / theirs

    loads = {"what": "load", "connections": case.connections}
    return {
        "requests": ratio("requests_per_second", **loads),
        "p99": ratio("p99_seconds", **loads),
        "memory": ratio("peak_bytes", what="server"),
    }


def batches(lines, bars):
    ratio = statistics.median(line["job_seconds"] / line["predict_seconds"] for line in lines)
    memory = max(line["memory_bytes"] for line in lines) / 1e6
    return [
        f"## Batch transform: {lines[0]['rows']:,} rows of JSON lines",
        "",
        f"- `predict`: {spread(lines, 'predict_seconds')} s",
        f"- `serve`: {spread(lines, 'job_seconds')} s with the client on the same cores",
        f"- ratio: {bars.cell('batch, time', ratio, most=batch.TIME)}",
        f"- memory: {bars.cell('batch, memory', memory, most=batch.MEMORY_MB, unit=' MB')}",
        "",
    ]


def attack(line):
    return [
        f"## Attacks for {line['seconds']:.0f} s",
        "",
        f"{line['good answers']:,} good requests were answered, each right, beside "
        f"{line['attacks']:,} broken and hostile ones. The slowest took "
        f"{line['slowest_seconds'] * 1e3:.0f} ms. Memory: {line['memory_bytes'] / 1e6:.0f} MB.",
        "",
    ]
