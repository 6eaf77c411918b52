"""The rules of check.py. Run: python3 -m unittest discover audit"""

import unittest

import check

H2 = {"id": "X-1", "crate": "h2", "patched": [">=0.3.26, <0.4.0", ">=0.4.4"], "note": "flood"}


class Ranges(unittest.TestCase):
    def test_a_version_is_affected_unless_a_patched_range_holds_it(self):
        for found, affected in [
            ("0.3.25", True), ("0.3.26", False), ("0.4.0", True), ("0.4.3", True),
            ("0.4.4", False), ("0.4.10", False), ("1.0.0", False),
        ]:
            with self.subTest(found):
                self.assertEqual(check.is_affected(H2, found), affected)

    def test_versions_before_the_mistake_are_unaffected(self):
        advisory = {"patched": [">=0.23.18"], "unaffected": ["<0.23.13"]}
        self.assertFalse(check.is_affected(advisory, "0.22.4"))
        self.assertTrue(check.is_affected(advisory, "0.23.13"))

    def test_a_pre_release_comes_before_its_release_and_build_data_counts_for_nothing(self):
        self.assertTrue(check.matches("<1.0.0", "1.0.0-rc.1"))
        self.assertTrue(check.matches("<1.0.0-rc.10", "1.0.0-rc.9"))
        self.assertTrue(check.matches("=1.2.1", "1.2.1+spec-1.1.0"))

    def test_a_range_that_cannot_be_read_is_an_error_not_a_pass(self):
        with self.assertRaises(ValueError):
            check.matches("^0.4", "0.4.1")


class LockFile(unittest.TestCase):
    def test_an_affected_package_and_a_foreign_source_are_both_named(self):
        packages = [
            {"name": "h2", "version": "0.4.3", "source": "registry+https://github.com/rust-lang/crates.io-index"},
            {"name": "own", "version": "0.1.0"},
            {"name": "fork", "version": "1.0.0", "source": "git+https://example.com/fork"},
        ]
        lines = check.problems(packages, [H2])
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("X-1", lines[0])
        self.assertIn("not crates.io", lines[1])

    def test_a_crate_without_any_fixed_version_is_always_named(self):
        advisory = {"id": "X-2", "crate": "old", "patched": [], "note": "not maintained"}
        self.assertEqual(len(check.problems([{"name": "old", "version": "9.9.9"}], [advisory])), 1)

    def test_the_committed_list_can_be_read_and_every_range_in_it_too(self):
        path, _ = check.newest_list(check.HERE)
        advisories = check.tomllib.loads(path.read_text())["advisory"]
        self.assertGreater(len(advisories), 30)
        for advisory in advisories:
            check.is_affected(advisory, "0.0.1")


if __name__ == "__main__":
    unittest.main()
