"""Tests of the computations, which run no program: `python3 -m unittest discover tests/peers`."""

from __future__ import annotations

import unittest

from figures import aligned, equal_shares, median_ratio, number, times_faster
from memory import Sizes, by_phase, family
from peers import Entrant, figures


class Figures(unittest.TestCase):
    def test_the_median_of_ratios_is_not_the_ratio_of_medians(self):
        self.assertEqual(median_ratio([1.0, 4.0, 9.0], [1.0, 1.0, 3.0]), 3.0)

    def test_rounds_that_only_one_ran_do_not_count(self):
        self.assertEqual(median_ratio([8.0], [2.0, 1.0, 1.0]), 4.0)
        self.assertIsNone(median_ratio([], [1.0]))

    def test_faster_and_slower(self):
        self.assertEqual(times_faster(12.34), "12.3 times faster")
        self.assertEqual(times_faster(0.5), "2.0 times slower")
        self.assertEqual(times_faster(None), "")

    def test_peaks_by_phase(self):
        samples = [(0.5, Sizes(1, 9, 1)), (1.5, Sizes(5, 2, 3)), (1.9, Sizes(4, 3, 3)), (9.0, Sizes(99, 99, 99))]
        phases = [{"phase": name, "seconds": seconds} for name, seconds in [("walk", 1), ("tally", 1), ("emit", 0.1)]]
        expected = [("walk", Sizes(1, 9, 1)), ("tally", Sizes(5, 3, 3)), ("emit", Sizes())]
        self.assertEqual(by_phase(samples, phases), expected)

    def test_columns_line_up(self):
        table = aligned([["", "s", "MB/s"], ["wc", "0.5", "10"], ["longer", "12.5", ""]])
        expected = ["           s  MB/s", "------------------", "wc       0.5    10", "longer  12.5"]
        self.assertEqual(table.split("\n"), expected)

    def test_shares_have_equal_bytes(self):
        files = [(size, b"%d" % number) for number, size in enumerate([900, 10, 20, 30, 800, 40, 50, 60, 300])]
        for jobs, most in [(1, 9), (1, 2), (2, 500), (2, 2), (3, 1), (20, 1)]:
            shares = equal_shares(files, jobs, most)
            self.assertCountEqual([path for share in shares for path in share], [path for _, path in files])
            self.assertTrue(all(share == sorted(share) for share in shares))
            self.assertLessEqual(len(shares[0]), most)
            self.assertTrue(all(len(share) == len(shares[0]) for share in shares[:-1]))
            self.assertLessEqual(len(shares[-1]), len(shares[0]))
        sizes = {path: size for size, path in files}
        self.assertEqual([sum(map(sizes.get, share)) for share in equal_shares(files, 2, 500)], [1080, 1130])

    def test_numbers(self):
        self.assertEqual(number(1234567, 0), "1,234,567")
        self.assertEqual(number(None, 2), "")


class Rows(unittest.TestCase):
    def test_a_peer_is_compared_with_bowline_of_its_kind(self):
        ours = Entrant("bowline-hashed", [], "hashed", seconds=[1.0, 2.0], process=[1.0, 2.0])
        peer = Entrant("vtext-hashed-1", ["a b"], "hashed", slow=True, seconds=[5.0], process=[6.0])
        row = figures(peer, {"bowline-hashed": ours}, 10_000_000)
        self.assertEqual((row["ratio_to_bowline"], row["ratio_to_wc"], row["mb_per_second"]), (5.0, None, 2.0))
        self.assertIsNone(figures(ours, {"bowline-hashed": ours}, 1)["ratio_to_bowline"])

    def test_names_to_skip(self):
        entrant = Entrant("vtext-counts-two-pass-2", [])
        self.assertTrue(all(map(entrant.is_called, ["vtext", "vtext-counts", "vtext-counts-two-pass-2"])))
        self.assertFalse(any(map(entrant.is_called, ["vt", "counts", "vtext-hashed"])))


class Family(unittest.TestCase):
    def test_grandchildren_belong_to_it(self):
        self.assertEqual(sorted(family(2, {1: 0, 2: 1, 3: 2, 4: 3, 5: 1})), [2, 3, 4])


if __name__ == "__main__":
    unittest.main()
