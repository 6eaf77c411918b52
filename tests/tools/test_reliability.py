"""What `./reliability` says of itself, without running a scenario. Run: ./ci docs"""

import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class TheList(unittest.TestCase):
    def test_names_every_scenario(self):
        said = subprocess.run([ROOT / "reliability", "--list"], capture_output=True, text=True, check=True).stdout
        listed = [line.split("\t") for line in said.splitlines()]
        table = (ROOT / "tests/reliability/main.rs").read_text()
        # A call, which stands in the table; the definition does not begin its line so.
        self.assertEqual(len(listed), len(re.findall(r"^    scenario\(", table, re.MULTILINE)))
        for name, title in listed:
            self.assertIn(f'"{name}"', table)
            self.assertIn(f'"{title}"', table)


if __name__ == "__main__":
    unittest.main()
