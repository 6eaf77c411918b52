"""docs/threats.md names files and tests that there are, and every threat once. Run: ./ci docs"""

import re
import unittest

import pages

PAGE = (pages.ROOT / "docs/threats.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if re.match(r"\| [TS]\d", line)]
NAMED = re.compile(r"`([\w./-]+\.(?:rs|py|toml|md))(?:::(\w+))?`")
# What stands before the name of a test: its attributes, and nothing that ends a function.
RUST_TEST = r"#\[(?:tokio::)?test[^\]]*\](?:\s*#\[[^\]]*\])*\s*(?:async )?fn {name}\("


def mistake(path, name):
    """What is wrong with a file, or with a test in it; None if nothing is."""
    file = pages.ROOT / path
    if not file.is_file():
        return f"{path} is not there"
    if name is None:
        return None
    text = file.read_text()
    if path.endswith(".py"):
        is_test = re.search(rf"^ +def {name}\(self", text, re.M) and name.startswith("test_")
    elif path.startswith("tests/reliability/"):
        # A proof is one of the list, and no test of cargo's.
        proofs = (pages.ROOT / "tests/reliability/main.rs").read_text()
        is_test = f"{file.stem}::{name})" in proofs and re.search(rf"fn {name}\(", text)
    else:
        found = re.search(RUST_TEST.replace("{name}", name), text)
        is_test = found and "ignore" not in found.group()
    return None if is_test else f"{path} has no test {name}"


class Threats(unittest.TestCase):
    def test_every_file_and_every_test_that_is_named_is_there(self):
        named = NAMED.findall(PAGE)
        self.assertGreater(len(named), 200)
        mistakes = {mistake(path, name or None) for path, name in named} - {None}
        self.assertEqual(mistakes, set())

    def test_nothing_is_named_in_a_way_that_is_not_looked_at(self):
        spans = re.findall(r"`[^`]*(?:/|::)[^`]*`", PAGE)
        self.assertEqual([span for span in spans if not NAMED.fullmatch(span) and span not in KNOWN], [])

    def test_every_threat_has_one_row_with_an_answer_and_a_proof(self):
        wanted = [f"T{number}" for number in range(1, 43)] + [f"S{number}" for number in range(1, 7)]
        self.assertEqual([row[0] for row in ROWS], wanted)
        for row in ROWS:
            with self.subTest(row[0]):
                self.assertEqual(len(row), 4)
                _, _, answers, proofs = row
                self.assertTrue(any(not name for _, name in NAMED.findall(answers)))
                self.assertTrue(any(name for _, name in NAMED.findall(proofs)))

    def test_what_is_not_there_is_found(self):
        self.assertIsNone(mistake("src/guard.rs", None))
        self.assertIsNotNone(mistake("src/gard.rs", None))
        self.assertIsNotNone(mistake("src/guard.rs", "no_such_test"))
        # Functions that are no tests, or are not run.
        self.assertIsNotNone(mistake("src/guard.rs", "host_of"))
        self.assertIsNotNone(mistake("src/panics.rs", "the_one_that_panics"))
        self.assertIsNotNone(mistake("tests/reliability/crowd.rs", "prove"))


class Store(unittest.TestCase):
    def test_the_rights_that_are_told_are_those_that_are_tried_out(self):
        tried = re.search(r'const RIGHTS: &str = "(.*?)";', (pages.ROOT / "src/store/redis.rs").read_text(), re.S).group(1)
        told = re.search(r"ACL SETUSER bearerd on >PASSWORD (.*?)```", (pages.ROOT / "docs/fleet.md").read_text(), re.S).group(1)
        self.assertEqual(told.split(), tried.replace("\\\n", " ").split())


# Code spans that are neither.
KNOWN = {"`file::test`", "`POST /retry/NAME`"}


if __name__ == "__main__":
    unittest.main()
