"""Tests of bench/serving."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

from measure import Failed
from serving import attack, batch, load, report
from serving.cases import CASES, CONNECTIONS, OURS
from serving.server import pss_bytes, session_of


def lines(ours_per_second):
    """Returns results of one pair of the case svm; the peers answer 100 requests per second."""
    found = []
    for side in (OURS, *CASES["svm"].peers):
        ours = side == OURS
        key = {"case": "svm", "side": side, "pair": 0}
        speed = {"requests_per_second": ours_per_second if ours else 100.0}
        times = {"p50_seconds": 0.001, "p99_seconds": 0.002 if ours else 0.1}
        found += [
            key | {"what": "load", "connections": count} | speed | times for count in CONNECTIONS
        ]
        memory = {"start_seconds": 0.01, "peak_bytes": 20e6 if ours else 400e6}
        found.append(key | {"what": "server"} | memory)
    return found


class Serving(unittest.TestCase):
    def test_bars_are_those_of_the_case(self):
        bars = report.Bars(strict=True)
        table = "\n".join(report.load(lines(3000.0), "svm", bars))
        self.assertIn("| gunicorn + Flask | 30 (at least 30, met)", table)
        self.assertIn("0.02 (at most 0.1, met)", table)
        self.assertIn("10 ms (at most 20 ms, met)", table)
        self.assertEqual(bars.missed, [])
        report.load(lines(2999.0), "svm", bars)
        self.assertEqual(
            bars.missed,
            [
                f"svm, {peer}, requests/s: 29.99, expected at least 30"
                for peer in CASES["svm"].peers
            ],
        )
        smoke = report.Bars(strict=False)
        report.load(lines(1.0), "svm", smoke)
        self.assertEqual(smoke.missed, [])

    def test_failed_requests_are_no_result(self):
        document = {
            "summary": {"total": 2.0},
            "latencyPercentiles": {"p50": 0.001, "p99": 0.002},
            "statusCodeDistribution": {"200": 10},
            "errorDistribution": {load.DEADLINE: 8},
        }
        self.assertEqual(load.figures(document)["requests_per_second"], 5)
        for broken in (
            {"statusCodeDistribution": {"200": 9, "503": 1}},
            {"errorDistribution": {"connection refused": 1}},
        ):
            with self.assertRaises(Failed):
                load.figures(document | broken)

    def test_answers_of_equal_weights_agree(self):
        load.compare([("a", 0.9), ("a", 0.5001)], [("a", 0.9001), ("b", 0.5002)])
        for other in (("b", 0.9), ("a", 0.8)):
            with self.assertRaises(Failed):
                load.compare([("a", 0.9)], [other])

    def test_pieces_are_whole_lines(self):
        rows = [json.dumps({"text": "x" * 1000}) for _ in range(14_000)]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "rows.jsonl")
            path.write_text("\n".join(rows) + "\n", encoding="utf-8")
            pieces = list(batch.pieces(path))
            self.assertEqual(b"".join(pieces), path.read_bytes())
        self.assertEqual(len(pieces), 3)
        for piece in pieces:
            self.assertTrue(piece.endswith(b"\n") and len(piece) <= batch.PAYLOAD_BYTES)

    def test_memory_of_all_processes_of_a_session(self):
        self.assertEqual(session_of("17 (a) b) (c) S 1 16 15 0 -1"), 15)
        self.assertEqual(pss_bytes("Rss: 9 kB\nPss:      12 kB\nPss_Dirty: 3 kB\n"), 12 * 1024)

    def test_only_the_announced_attacks_are_unfinished(self):
        for name, message in attack.attacks(["a film"]).items():
            head, _, body = message.partition(b"\r\n\r\n")
            lengths = [
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ]
            unfinished = name in ("100 MB announced", "half of a body")
            if len(lengths) == 1 and lengths[0] >= 0 and b"chunked" not in head:
                self.assertEqual(len(body) < lengths[0], unfinished, name)


if __name__ == "__main__":
    unittest.main()
