"""The alert rules by themselves: each is complete, tested firing and not firing, and names a way on. Run: ./ci deploy"""

import collections
import json
import re
import subprocess
import unittest

import stage
import yaml

ALERTS = {rule["alert"]: rule for group in yaml.safe_load(stage.RULES.read_text())["groups"] for rule in group["rules"]}
TESTS = stage.RULES.with_name("alerts.test.yaml")


class Rules(unittest.TestCase):

    def promtool(self, *arguments):
        done = subprocess.run(["promtool", *arguments], text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_promtool_accepts_them(self):
        self.assertIn(f"SUCCESS: {len(ALERTS)} rules found", self.promtool("check", "rules", stage.RULES))

    def test_promtool_finds_them_to_fire_when_they_should(self):
        self.assertIn("SUCCESS", self.promtool("test", "rules", TESTS))

    def test_each_is_tested_firing_and_not_firing(self):
        seen = collections.defaultdict(set)
        for test in yaml.safe_load(TESTS.read_text())["tests"]:
            for one in test["alert_rule_test"]:
                seen[one["alertname"]].add(bool(one["exp_alerts"]))
        self.assertEqual(dict(seen), {name: {True, False} for name in ALERTS})

    def test_each_says_how_bad_it_is_and_where_to_read_on(self):
        codes = set(re.findall(r"(?m)^#+ ([TUCF]\d{3})", (stage.ROOT / "docs/reason-codes.md").read_text()))
        self.assertGreater(len(codes), 50)
        for name, rule in ALERTS.items():
            with self.subTest(name):
                self.assertTrue(name.startswith("Bearerd"))
                self.assertIn(rule["labels"]["severity"], {"critical", "warning", "info"})
                self.assertEqual(set(rule["annotations"]), {"summary", "description"})
                description = rule["annotations"]["description"]
                named = set(re.findall(r"`bearerd explain ([TUCF]\d{3})`", description))
                self.assertLessEqual(named, codes)
                leads = named or "docs/observability.md" in description or re.search(
                    r"`bearerd explain (CODE|\{\{ \$labels\.reason \}\})`", description)
                self.assertTrue(leads, description)


class Dashboard(unittest.TestCase):
    BOARD = json.loads((stage.ROOT / "deploy/grafana/bearerd.json").read_text())

    def test_every_panel_asks_the_chosen_data_source(self):
        panels = [panel for panel in self.BOARD["panels"] if panel["type"] != "row"]
        sources = [panel["datasource"] for panel in panels]
        sources += [target["datasource"] for panel in panels for target in panel["targets"]]
        self.assertGreater(len(sources), 80)
        self.assertEqual({json.dumps(source, sort_keys=True) for source in sources},
                         {'{"type": "prometheus", "uid": "${datasource}"}'})

    def test_panels_have_numbers_of_their_own_and_do_not_overlap(self):
        panels = self.BOARD["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            grid = panel["gridPos"]
            cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
            self.assertLessEqual(grid["x"] + grid["w"], 24)
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells


if __name__ == "__main__":
    unittest.main()
