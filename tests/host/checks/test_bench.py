"""The parts of ./tern bench that can be tested without a guest."""

import io
import sys
import unittest
import xml.etree.ElementTree as xml
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

from tern import bench  # noqa: E402
from tern.bench import budget, chart, guest, page, profile, report  # noqa: E402
from tern.common import ARCHES, Failure  # noqa: E402


def result_file(arch="x86_64"):
    results = {"arch": arch, "rows": [], "tern": {"version": "release"}, "linux": {"version": "6.1"}}
    for name, ours, theirs in (("null_call", {"count": 100.0, "wall": 1.0}, {"count": 400.0, "wall": 2}),
                               ("stat", {"count": 900.0}, {"count": 100.0}),
                               ("poll_10", {"why": "Function not implemented"}, {"count": 5.0})):
        report.row(results, name, "what it does", 1).update(tern=ours, linux=theirs)
    return results


class FakeKernel:
    """Answers each boot with the next of the given outputs."""
    key, name, arch, version = "tern", "Tern", "x86_64", "release"

    def __init__(self, *outputs):
        self.outputs, self.scripts = list(outputs), []

    def run(self, settings, script):
        self.scripts.append(script)
        text, complete = self.outputs.pop(0)
        return guest.Heard(text, complete, "" if complete else "it burns")


class Operations(unittest.TestCase):
    SETTINGS = guest.Settings("x86_64")

    def test_figures_failures_and_what_is_missing(self):
        kernel = FakeKernel(("bench a 1.5 ns\n[ 0.1] noise\nbench a 2.5 ns\n"
                             "bench b failed No such file or directory\n", True))
        values, reasons = guest.operations(kernel, self.SETTINGS, ["a", "b", "c"])
        self.assertEqual(values, {"a": [1.5, 2.5]})
        self.assertEqual(reasons, {"b": "No such file or directory",
                                   "c": "the program gave no figure"})

    def test_what_stops_the_machine_is_left_out_of_the_next_boot(self):
        kernel = FakeKernel(("bench a 1.0 ns\n", False), ("bench c 3.0 ns\n", True))
        values, reasons = guest.operations(kernel, self.SETTINGS, ["a", "b", "c"])
        self.assertEqual((values, reasons), ({"a": [1.0], "c": [3.0]}, {"b": "it burns"}))
        self.assertNotIn(" b", kernel.scripts[1].split("do")[1])

    def test_a_machine_that_always_stops_leaves_no_row_without_a_reason(self):
        names = [f"n{i}" for i in range(9)]
        _, reasons = guest.operations(FakeKernel(*[("", False)] * 9), self.SETTINGS, names)
        self.assertEqual(set(reasons), set(names))

    def test_every_operation_of_the_sources_is_known(self):
        names = set(report.descriptions())
        self.assertTrue({"null_call", "fork_exec_wait", "epoll_wait_ready"} <= names)
        self.assertNotIn("bench", names)
        self.assertEqual({count for name, count in bench.chosen("futex_across")}, {2, 4})
        self.assertTrue(set(budget.OPERATIONS) <= names)
        self.assertRaises(Failure, bench.chosen, "no such")


class Reports(unittest.TestCase):
    def test_ratios(self):
        results = result_file()
        self.assertEqual(report.count_ratios(results), [0.25, 9.0, None])
        self.assertAlmostEqual(report.geometric_mean([0.25, None, 4.0, 8.0]), 2.0)
        self.assertIsNone(report.geometric_mean([None]))

    def test_the_table_tells_failures_and_has_no_colour_in_a_file(self):
        said = io.StringIO()
        with redirect_stdout(said):
            report.show(result_file())
        self.assertIn("Tern: Function not implemented", said.getvalue())
        self.assertNotIn("\033", said.getvalue())

    def test_the_chart_is_well_formed_and_has_every_row(self):
        root = xml.fromstring("\n".join(chart.draw(result_file())))
        words = " ".join(root.itertext())
        for word in ("null_call", "0.25", "9.00", "Tern failed", "geometric mean on one CPU: 1.50"):
            self.assertIn(word, words)

    def test_the_page_has_every_row_and_reason(self):
        text = "\n".join(page.lines({arch: result_file(arch) for arch in ARCHES}))
        self.assertIn("`poll_10`", text)
        self.assertIn("`poll_10` failed on Tern (x86_64, aarch64, riscv64): Function not implemented.", text)
        self.assertIn("- aarch64: `stat` 9.00", text)


class Budget(unittest.TestCase):
    ALLOWED = {name: 1000.0 for name in budget.OPERATIONS}

    def test_up_to_five_percent_more_is_good(self):
        counted = self.ALLOWED | {"null_call": 1050.0, "open_close": 1051.0, "pread_4k": 10.0}
        bad = [line for _, good, line in budget.judge("x86_64", self.ALLOWED, counted) if not good]
        self.assertEqual(bad, ["open_close went from 1,000.0 to 1,051.0 instructions "
                               "(+5.1%, allowed +5%)"])

    def test_an_operation_without_a_budget_fails(self):
        judged = list(budget.judge("x86_64", {}, self.ALLOWED))
        self.assertFalse(any(good for _, good, _ in judged))

    def test_the_file_has_all_architectures(self):
        for arch in ARCHES:
            self.assertEqual(set(budget.load()[arch]), set(budget.OPERATIONS), arch)


class Profile(unittest.TestCase):
    def test_addresses_belong_to_the_function_before(self):
        symbols = profile.Symbols([(0x100, "a"), (0x200, "b")])
        self.assertEqual([symbols.at(a) for a in (0x100, 0x1ff, 0x200, 0x300, 0x10)],
                         ["a", "a", "b", "b", "0x10"])

    def test_operations(self):
        self.assertEqual(profile.rounds_of("fork_64m_exit_wait"), 3)
        self.assertRaises(Failure, profile.rounds_of, "no such")


class Panic(unittest.TestCase):
    def test_why_it_stopped(self):
        self.assertEqual(guest.why_stopped("x\033_tern:panic:out of luck\033\\"), "out of luck")
        self.assertEqual(guest.why_stopped("[1.0] Kernel panic - not syncing: no\n"),
                         "Kernel panic - not syncing: no")
        with mock.patch.object(guest, "END", "the end"):
            heard = guest.listen(["printf", "bench a 1.0 ns\\r\\nthe end\\r\\n"], 5)
        self.assertEqual(heard[:2], ("bench a 1.0 ns\nthe end\n", True))


if __name__ == "__main__":
    unittest.main()
