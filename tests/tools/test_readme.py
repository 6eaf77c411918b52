"""README.md and the failure table say what is there, not what once was. Run: ./ci docs"""

import pathlib
import re
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
FAILURES = (ROOT / "docs" / "failures.md").read_text()
CONFIG = ROOT / "src" / "config"
# Keys that hold tables have a heading instead of a row.
TABLES = set("admin callers credentials inject limits log permanent refresh rejection response".split())
TABLES |= set("budget revocation routes steps store timeouts tls traces".split())


def source(path):
    return (ROOT / path).read_text()


class Readme(unittest.TestCase):
    def test_every_metric_is_named_and_no_other(self):
        told = set(re.findall(r"`(bearerd_[a-z_]+)", README.split("## Metrics")[1].split("##")[0]))
        told = {name for name in told if name != "bearerd_token"}
        files = [ROOT / "src" / "metrics.rs", *(ROOT / "src" / "metrics").rglob("*.rs")]
        code = "".join(file.read_text().split("#[cfg(test)]")[0] for file in files)
        made = set(re.findall(r'"(bearerd_[a-z_]+)"', code))
        self.assertGreater(len(made), 15)
        self.assertEqual(told, made)

    def test_every_reason_code_it_speaks_of_exists(self):
        known = set(re.findall(r'"([TUCF]\d{3})"', source("src/reason.rs")))
        told = set(re.findall(r"\b[TUCF]\d{3}\b", README + FAILURES))
        self.assertGreater(len(told), 15)
        self.assertEqual(told - known, set())

    def test_every_action_on_a_rejected_token_has_its_row(self):
        actions = set(re.findall(r'action\("([a-z_]+)"\)', source("src/metrics/credential.rs")))
        self.assertGreater(len(actions), 5)
        for action in actions:
            with self.subTest(action):
                self.assertIn(f'{{action="{action}"}}', FAILURES)

    def test_every_file_it_names_is_there(self):
        names = set(re.findall(r"\]\(([^)#:]+)\)", README))
        names |= set(re.findall(r"\b(?:deploy|examples|audit)/[\w./-]*\w", README))
        self.assertGreater(len(names), 5)
        for name in names:
            with self.subTest(name):
                self.assertTrue((ROOT / name).exists())

    def test_the_compiler_it_asks_for_is_that_of_the_package(self):
        package = tomllib.loads(source("Cargo.toml"))["package"]
        self.assertIn(f"Rust {package['rust-version']} or newer", README)

    def test_every_configuration_key_has_its_place_in_the_table(self):
        table = README.split("## Configuration")[1].split("## Verbs")[0]
        first_cells = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
        told = set(re.findall(r"`([a-z_]+)`", first_cells))
        lists = re.findall(r"obeyed: &\[(.*?)\]", "".join(path.read_text() for path in CONFIG.glob("*.rs")), re.S)
        obeyed = set(re.findall(r'"([a-z_]+)"', "".join(lists))) - TABLES - {"contains"}
        self.assertGreater(len(obeyed), 40)
        self.assertEqual(told ^ obeyed, set())


if __name__ == "__main__":
    unittest.main()
