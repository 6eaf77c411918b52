"""What can be known of the benchmark without running it. Run: ./ci docs"""

import pathlib
import sys
import tempfile
import time
import unittest

from bench import load, syscalls, wanted
from bench.cases import CORES, Case, comparisons
from bench.contenders import Contender
from bench.cost import Cpu, memory
from bench.growth import growth
from bench.machine import Machine
from bench.measure import Measured, rotated
from bench.proxies import ALL, Place
from bench.report import COLUMNS, as_json, case_table, verdict_table
from bench.servers import BenchError, Launch, Server, free_port
from bench.syscalls import Calls
from bench.turns import Closed
from bench.world import PROTOCOLS, Certificates, Setup, World

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 51.02    0.300000           3      2000           writev
 40.00    0.200000           2      2100       100 recvfrom
  8.98    0.050000           1       200           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.550000           2      4300       100 total
"""

H2LOAD = """\
finished in 1.50s, 2000.00 req/s, 1.00MB/s
requests: 3010 total, 3010 started, 3000 done, 2990 succeeded, 10 failed, 0 errored, 0 timeout
"""


def a_world(directory):
    files = Certificates(*(directory / name for name in ("ca", "certificate", "key", "both")))
    ports = dict(zip(PROTOCOLS, range(1, 5), strict=True))
    return World(directory, files, ports, 5, 6, 7, {"bearerd": "bearerd", "envoy": "envoy"})


def measured(rounds, calls=None):
    case = Case("small-64", "a title", tuple(Contender(label, label, Setup(1)) for label in rounds), Closed(64), ("cpu", "io", "p99"))
    return Measured(case, rounds=rounds, calls=calls or {})


class Reading(unittest.TestCase):
    def test_calls_are_counted_per_request_and_waiting_is_no_io(self):
        calls = syscalls.per_request(STRACE, 1000)
        self.assertAlmostEqual(calls.io, 4.1)
        self.assertAlmostEqual(calls.all, 4.3)
        self.assertEqual(set(calls.by_name), {"writev", "recvfrom", "epoll_wait"})

    def test_h2load_says_how_many_were_answered_and_how_many_well(self):
        outcome = load.h2load_outcome(H2LOAD, list(range(1, 1001)))
        self.assertEqual((outcome.requests, outcome.failed, outcome.seconds), (3000, 10, 1.5))
        self.assertEqual((outcome.p50, outcome.p99, outcome.p999), (500, 990, 999))

    def test_a_percentile_is_one_of_the_values(self):
        for share, expected in ((0.0, 1), (0.33, 1), (0.5, 2), (0.67, 3), (0.99, 3), (1.0, 3)):
            with self.subTest(share):
                self.assertEqual(load.percentile([1, 2, 3], share), expected)

    def test_ticks_only_split_the_exact_time(self):
        used = Cpu(3.0, 2.0, 2.0).since(Cpu(1.0, 1.0, 1.97))
        self.assertAlmostEqual(used.total, 2.0)
        self.assertAlmostEqual(used.user + used.system, 2.0)
        self.assertGreater(used.user, 1.9)


ROUNDS = {
    "bearerd": [{"cpu": 10.0}, {"cpu": 12.0}, {"cpu": 33.0}],
    "nginx": [{"cpu": 10.0}, {"cpu": 10.0}, {"cpu": 30.0}],
}


class Judging(unittest.TestCase):
    def verdict(self, results, what):
        return next(verdict for verdict in wanted.judge(results) if what in verdict.what)

    def test_ratios_are_taken_within_a_round(self):
        verdict = self.verdict([measured(ROUNDS)], "CPU per request, small answers")
        self.assertEqual((verdict.measured, verdict.spread, verdict.verdict), ("1.10", "1.00–1.20", "reached"))

    def test_a_limit_that_is_not_held_is_missed(self):
        rounds = ROUNDS | {"haproxy": [{"cpu": 9.0}] * 3}
        self.assertEqual(self.verdict([measured(rounds)], "HAProxy").verdict, "**missed**")

    def test_a_case_that_was_not_run_is_not_judged(self):
        self.assertEqual({verdict.verdict for verdict in wanted.judge([])}, {"not measured"})

    def test_every_figure_that_is_wanted_can_be_measured(self):
        cases = {case.name: case for case in comparisons()}
        self.assertGreater(len(wanted.WANTED), 10)
        for item in wanted.WANTED:
            closure = dict(zip(item.values.__code__.co_freevars, (cell.cell_contents for cell in item.values.__closure__), strict=True))
            with self.subTest(item.what):
                case = cases[closure["case"]]
                labels = {contender.label for contender in case.contenders}
                self.assertLessEqual({closure.get("label", "bearerd"), closure.get("other", "bearerd")}, labels)
                self.assertIn(closure.get("figure", "io"), case.columns)


class Cases(unittest.TestCase):
    def test_names_and_labels_are_unique_and_columns_known(self):
        cases = [*comparisons(), *growth()]
        self.assertGreater(len(cases), 25)
        self.assertEqual(len({case.name for case in cases}), len(cases))
        for case in cases:
            with self.subTest(case.name):
                self.assertEqual(len({contender.slug for contender in case.contenders}), len(case.contenders))
                self.assertLessEqual(set(case.columns), set(COLUMNS))

    def test_another_one_begins_each_round(self):
        contenders = [Contender(name, name, Setup(1)) for name in "abc"]
        self.assertEqual(["".join(one.label for one in rotated(contenders, by)) for by in range(4)], ["abc", "bca", "cab", "abc"])

    def test_every_contender_that_can_take_part_is_configured(self):
        configured = 0
        with tempfile.TemporaryDirectory() as directory:
            place = Place("label", pathlib.Path(directory), 8, a_world(pathlib.Path(directory)))
            for case in comparisons():
                for contender in case.contenders:
                    if contender.lacks() is None and contender.proxy != "direct":
                        launch = ALL[contender.proxy].launch(contender.setup, place)
                        self.assertEqual(launch.port, 8)
                        configured += 1
        self.assertGreater(configured, 60)

    def test_what_a_proxy_cannot_do_is_said(self):
        self.assertIn("HTTP/2", ALL["nginx"].lacks(Setup(CORES, upstream="h2")))
        for name in ("nginx", "haproxy"):
            self.assertEqual(ALL[name].lacks(Setup(CORES, renewing=True)), "renewal")
        self.assertIsNone(ALL["bearerd"].lacks(Setup(CORES, upstream="tls-h2", routes=9)))


class Reporting(unittest.TestCase):
    def test_a_table_has_a_row_for_everybody_and_no_empty_column(self):
        result = measured({"bearerd": [{"cpu": 1.0}], "nginx": []}, {"bearerd": Calls(4.0, 5.0, {})})
        result.missing["nginx"] = "renewal"
        table = case_table(result)
        self.assertIn("| bearerd | 1.0 | 4.00 |", table)
        self.assertIn("| nginx | — | — |", table)
        self.assertNotIn("p99", table)
        self.assertIn("nginx: cannot do renewal.", table)

    def test_the_json_has_every_round(self):
        machine = Machine("", "", "", "", "", 1, 1, "", "", 1, 0.0, {})
        result = measured({"bearerd": [{"cpu": 1.0}, {"cpu": 2.0}]})
        data = as_json(machine, [result], wanted.judge([result]))
        self.assertEqual(data["cases"]["small-64"]["rounds"]["bearerd"], [{"cpu": 1.0}, {"cpu": 2.0}])
        self.assertIn("| not measured |", verdict_table(wanted.judge([result])))


# Listens on the port given, and has a child.
PROGRAM = """
import socket, subprocess, sys
child = subprocess.Popen(["sleep", "60"])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
child.wait()
"""


class Programs(unittest.TestCase):
    def test_a_program_is_seen_to_listen_and_ended_with_its_children(self):
        port = free_port()
        with tempfile.TemporaryDirectory() as directory:
            server = Server(Launch([sys.executable, "-c", PROGRAM, str(port)], port, pathlib.Path(directory, "log")))
            try:
                self.assertGreater(server.wait(), 0.0)
                pids = server.pids()
                self.assertEqual(len(pids), 2)
            finally:
                server.stop()
        deadline = time.monotonic() + 10
        # One that was killed is gone, or has no memory any more, a moment later.
        while (left := [pid for pid in pids if memory([pid]).resident > 0]) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(left, [])

    def test_a_program_that_ends_at_once_is_told_with_its_last_lines(self):
        with tempfile.TemporaryDirectory() as directory:
            command = [sys.executable, "-c", "raise SystemExit('no such key')"]
            server = Server(Launch(command, free_port(), pathlib.Path(directory, "log")))
            with self.assertRaisesRegex(BenchError, "no such key"):
                server.wait()

    def test_every_module_is_valid_python(self):
        files = list(BENCH.rglob("*.py"))
        self.assertGreater(len(files), 15)
        for file in files:
            with self.subTest(file.name):
                compile(file.read_text(), str(file), "exec")


if __name__ == "__main__":
    unittest.main()
