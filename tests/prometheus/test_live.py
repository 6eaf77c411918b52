"""What deploy/ has for Prometheus and Grafana, against a real bearerd that a real Prometheus scrapes. Run: ./ci deploy"""

import json
import re
import subprocess
import time
import unittest

import stage
import yaml

DASHBOARD = json.loads((stage.ROOT / "deploy/grafana/bearerd.json").read_text())
ALERTS = [rule for group in yaml.safe_load(stage.RULES.read_text())["groups"] for rule in group["rules"]]
VARIABLES = {"$__rate_interval": "5s", "$instance": ".*", "$route": ".*", "$credential": ".*"}
# Queries that return data only in failures that take too long for a test, by the title of their panel. Their names and labels are
# checked all the same.
ONLY_IN_FAILURES = {}
SELECTOR = re.compile(r'\b((?:bearerd|process)_\w+|up)\b(\{[^}]*\})?')
ALTERNATIVES = re.compile(r'(action|outcome|reason|origin|side)(=~?|!=)"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|on|without|ignoring) \(([^)]*)\)")


def setUpModule():
    global STAGE
    STAGE = stage.Stage()


def tearDownModule():
    STAGE.close()


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries():
    """Title and expression of every query of the dashboard, with its variables replaced."""
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def without_patterns(text):
    return re.sub(r'"[^"]*"', '""', text)


class Page(unittest.TestCase):

    def test_promtool_finds_nothing_to_say_about_it(self):
        lint = subprocess.run(["promtool", "check", "metrics"], input=STAGE.bearerd.page(), text=True, capture_output=True)
        self.assertEqual((lint.returncode, lint.stdout, lint.stderr), (0, "", ""))

    def test_it_has_every_metric_of_the_design(self):
        page = STAGE.bearerd.page()
        for name, kind in {
            "bearerd_build_info": "gauge", "bearerd_requests_total": "counter", "bearerd_refused_total": "counter",
            "bearerd_request_duration_seconds": "histogram", "bearerd_upstream_duration_seconds": "histogram",
            "bearerd_requests_in_flight": "gauge", "bearerd_requests_waiting_for_token": "gauge",
            "bearerd_connections": "gauge", "bearerd_replay_memory_bytes": "gauge",
            "bearerd_token_expiry_timestamp_seconds": "gauge", "bearerd_token_valid": "gauge", "bearerd_token_latched": "gauge",
            "bearerd_token_last_success_timestamp_seconds": "gauge", "bearerd_token_requests_total": "counter",
            "bearerd_token_request_duration_seconds": "histogram", "bearerd_token_rejections_total": "counter",
            "bearerd_tls_certificate_expiry_timestamp_seconds": "gauge", "bearerd_config_reloads_total": "counter",
            "bearerd_config_last_reload_success_timestamp_seconds": "gauge", "process_cpu_seconds_total": "counter",
        }.items():
            with self.subTest(name):
                self.assertIn(f"\n# TYPE {name} {kind}\n", "\n" + page)
                self.assertRegex(page, rf"(?m)^# HELP {name} \S.*\S$")

    def test_buckets_reach_from_below_a_millisecond_to_a_minute(self):
        page = STAGE.bearerd.page()
        bounds = [float(bound) for bound in re.findall(r'request_duration_seconds_bucket{route="api",le="([\d.]+)"}', page)]
        self.assertEqual(bounds, sorted(bounds))
        self.assertLess(bounds[0], 0.001)
        self.assertEqual(bounds[-1], 60)

    def test_what_failed_is_later_than_what_succeeded_while_it_fails(self):
        of = lambda name: STAGE.prometheus.values(f'bearerd_token_{name}_timestamp_seconds{{credential="denied"}}')
        ((_, failure),) = stage.eventually("a failure", lambda: of("last_failure"))
        self.assertAlmostEqual(failure, time.time(), delta=120)
        self.assertEqual([value for _, value in of("last_success")], [0])

    def test_limits_and_the_state_of_the_configuration_are_as_they_were_made(self):
        now = lambda name: [value for _, value in STAGE.prometheus.values(name)]
        stage.eventually("a scrape after the broken configuration", lambda: now("bearerd_config_last_reload_successful") == [0])
        self.assertEqual(now("bearerd_replay_memory_limit_bytes"), [8 * 1024])


class Names(unittest.TestCase):

    def check(self, title, expression):
        """Every selector has series, every value that it names exists, and so does every label that it groups by."""
        # From these labels and no others are made what is grouped.
        labels = {"le"}
        selectors = SELECTOR.findall(re.sub(r"\b(?:by|on|without|ignoring) \([^)]*\)", "", expression))
        self.assertTrue(selectors, f"{title}: {expression}")
        for name, matchers in selectors:
            series = STAGE.prometheus.ask("series", **{"match[]": name})
            self.assertTrue(series, f"{title}: there is no {name}")
            labels |= set().union(*series)
            for label in re.findall(r"(\w+)(?:=~|!~|!=|=)\"", matchers):
                self.assertIn(label, set().union(*series), f"{title}: {name}{matchers}")
            for label, operator, value in ALTERNATIVES.findall(matchers):
                # `C0(01|02)` is C001 and C002.
                begin, _, rest = value.rstrip(")").partition("(")
                for alternative in [begin + one for one in rest.split("|")] if rest else value.split("|"):
                    self.assertIn(alternative, {one.get(label) for one in series}, f"{title}: {name}{matchers}")
        for grouped in GROUPED.findall(expression):
            self.assertLessEqual(set(re.split(r", *", grouped)), labels, f"{title}: {expression}")

    def test_alerts_use_names_and_labels_that_there_are(self):
        stage.eventually("errors of the upstream", lambda: STAGE.prometheus.values('bearerd_requests_total{code="500"}'))
        for alert in ALERTS:
            with self.subTest(alert["alert"]):
                self.check(alert["alert"], alert["expr"])

    def test_the_dashboard_uses_names_and_labels_that_there_are(self):
        stage.eventually("errors of the upstream", lambda: STAGE.prometheus.values('bearerd_requests_total{code="500"}'))
        for title, expression in queries():
            with self.subTest(title):
                self.check(title, expression)


class Dashboard(unittest.TestCase):

    def test_every_query_returns_data(self):
        waiting, asked, deadline = list(queries()), 0, time.monotonic() + 25
        waiting = [(title, expression) for title, expression in waiting if title not in ONLY_IN_FAILURES]
        self.assertGreater(len(waiting), 40)
        while waiting and time.monotonic() < deadline:
            waiting = [(title, expression) for title, expression in waiting if not STAGE.prometheus.values(expression)]
            asked += 1
            time.sleep(0.2)
        self.assertEqual(waiting, [], f"no data, asked {asked} times")

    def test_what_is_exempt_is_there_and_parses(self):
        exempt = [(title, expression) for title, expression in queries() if title in ONLY_IN_FAILURES]
        self.assertEqual({title for title, _ in exempt}, set(ONLY_IN_FAILURES))
        for _, expression in exempt:
            STAGE.prometheus.ask("query", query=expression)

    def test_its_variables_have_values(self):
        kinds = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
        self.assertEqual(kinds, {"datasource": "datasource", "instance": "query", "route": "query", "credential": "query"})
        found = {}
        for variable in DASHBOARD["templating"]["list"]:
            if variable["type"] == "query":
                query = variable["query"]["query"].replace("$instance", ".*")
                selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
                found[variable["name"]] = STAGE.prometheus.ask(f"label/{label}/values", **{"match[]": selector})
        self.assertEqual(found, {"instance": [STAGE.bearerd.admin], "route": ["api", "dead", "denied"],
                                 "credential": ["api", "denied"]})

    def test_its_annotations_parse(self):
        for annotation in DASHBOARD["annotations"]["list"]:
            STAGE.prometheus.ask("query", query=annotation["expr"].replace("$instance", ".*"))


class Rules(unittest.TestCase):

    def states(self):
        groups = STAGE.prometheus.ask("rules", type="alert")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def test_prometheus_evaluates_every_rule(self):
        evaluated = lambda: all(rule["health"] != "unknown" for rule in self.states().values())
        stage.eventually("every rule was evaluated", evaluated)
        rules = self.states()
        self.assertEqual(set(rules), {alert["alert"] for alert in ALERTS})
        self.assertEqual({name: rule.get("lastError") for name, rule in rules.items() if rule["health"] != "ok"}, {})

    def test_failures_of_the_stage_raise_their_alerts_and_no_others(self):
        wanted = {
            # Without a `for`, so they fire at once.
            "BearerdTokenRefused": "firing", "BearerdRejectionsNotReplayed": "firing",
            "BearerdTokenUnusable": "pending", "BearerdTokenRequestsFail": "pending", "BearerdCannotForward": "pending",
            "BearerdUpstreamErrors": "pending", "BearerdConfigReloadFailed": "pending", "BearerdCallersRefused": "pending",
            "BearerdCertificateExpires": "pending", "BearerdTokensRejectedAgainAndAgain": "pending",
        }
        states = lambda: {name: rule["state"] for name, rule in self.states().items() if rule["state"] != "inactive"}
        stage.eventually("the alerts", lambda: wanted.items() <= states().items())
        # Whether a second revocation falls into the gap of the first is a matter of moments, and so is a slow machine.
        of_the_moment = {"BearerdFreshTokensRejected", "BearerdRequestsWaitForToken"}
        self.assertLessEqual(set(states()) - set(wanted), of_the_moment)


if __name__ == "__main__":
    unittest.main()
