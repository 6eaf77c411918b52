"""What deploy/helm promises, as the real helm renders it. Run: ./ci deploy"""

import pathlib
import shutil
import subprocess
import tempfile
import tomllib
import unittest

import yaml

from support import DEPLOY, DRAIN_SECONDS, HELM, ROOT, USER
from support import check, configured, documents, hold_against_kubernetes, hold_against_restricted, output, pod_specs

CHART = DEPLOY / "helm/bearerd"
# Beside the chart's own values: something set in every place that a template looks at.
FULL = """
image: {digest: "sha256:%s", pullSecrets: [registry]}
extraEnv: [{name: BEARERD_LOG_LEVEL, value: debug}]
gateway:
  replicas: 1
  service: {port: 8080, annotations: {a: b}}
  callers: {}
  metricsFrom: ""
  egressPorts: [443, 8443]
  podAnnotations: {c: d}
  podLabels: {e: f}
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: dedicated, operator: Exists}]
  affinity: {nodeAffinity: {}}
""" % ("0" * 64)


def template(values="", chart=CHART, release="api-proxy"):
    return documents(output(HELM, "template", release, chart, "--values", "-", input=values))


def of_kind(rendered, kind):
    (found,) = [document for document in rendered if document["kind"] == kind]
    return found


class Versions(unittest.TestCase):
    def test_chart_and_package_are_of_one_version(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
        self.assertEqual((chart["version"], chart["appVersion"]), (package["version"], package["version"]))


@unittest.skipUnless(HELM.exists(), "no helm")
class Gateway(unittest.TestCase):
    def test_helm_finds_nothing_wrong(self):
        output(HELM, "lint", "--strict", "--quiet", CHART)

    def test_the_api_knows_every_kind_and_every_key(self):
        for values in ("", FULL):
            rendered = template(values)
            self.assertGreaterEqual(len(rendered), 4)
            for document in rendered:
                hold_against_kubernetes(document)

    def test_pods_are_restricted_and_bearerd_has_a_user_of_its_own(self):
        pod = of_kind(template(), "Deployment")["spec"]["template"]["spec"]
        hold_against_restricted(pod)
        self.assertEqual(pod["containers"][0]["securityContext"]["runAsUser"], USER)

    def test_bearerd_accepts_the_configuration_and_listens_where_the_service_sends(self):
        rendered = template()
        ((settings, environment),) = configured(rendered)
        self.assertIn("0.0.0.0:8080", check(settings, environment))
        ports = {port["name"]: port["containerPort"] for port in self.container(rendered)["ports"]}
        (port,) = of_kind(rendered, "Service")["spec"]["ports"]
        self.assertEqual(environment["BEARERD_LISTEN"], f"0.0.0.0:{ports[port['targetPort']]}")
        self.assertEqual(environment["BEARERD_PROBE_LISTEN"], f"0.0.0.0:{ports['probe']}")

    def test_who_may_call_is_written_in_the_configuration(self):
        ((settings, environment),) = configured(template())
        closed = settings[: settings.index("[callers]")]
        with self.assertRaises(AssertionError):
            check(closed, environment)

    def test_only_labelled_pods_reach_it_unless_every_pod_shall(self):
        rule = of_kind(template(), "NetworkPolicy")["spec"]["ingress"][0]
        self.assertEqual(rule["from"], [{"podSelector": {"matchLabels": {"bearerd.client": "true"}}}])
        rule = of_kind(template("gateway: {callers: null}"), "NetworkPolicy")["spec"]["ingress"][0]
        self.assertEqual(rule["from"], [{"podSelector": {}}])

    def test_selector_and_labels_agree(self):
        spec = of_kind(template(FULL), "Deployment")["spec"]
        labels = spec["template"]["metadata"]["labels"].items()
        self.assertLessEqual(spec["selector"]["matchLabels"].items(), labels)
        self.assertLessEqual(of_kind(template(FULL), "Service")["spec"]["selector"].items(), labels)

    def test_there_is_time_to_drain(self):
        pod = of_kind(template(), "Deployment")["spec"]["template"]["spec"]
        self.assertGreater(pod["terminationGracePeriodSeconds"], DRAIN_SECONDS + 5)

    def test_wrong_values_are_refused_by_name(self):
        for values, named in [
            ("gateway: {replica: 3}", "replica"),
            ("gateway: {replicas: many}", "replicas"),
            ("image: {digest: latest}", "digest"),
            ('config: ""', "config"),
            ("secret: hunter2", "secret"),
        ]:
            done = subprocess.run([HELM, "template", CHART, "--values", "-"], input=values, capture_output=True, text=True)
            with self.subTest(values):
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(named, done.stderr)

    def test_the_notes_say_where_to_call(self):
        told = output(HELM, "install", "api-proxy", CHART, "--dry-run=client", "--namespace", "billing")
        self.assertIn("http://api-proxy-bearerd\n", told)
        self.assertIn('bearerd.client: "true"', told)

    def container(self, rendered):
        return of_kind(rendered, "Deployment")["spec"]["template"]["spec"]["containers"][0]


@unittest.skipUnless(HELM.exists(), "no helm")
class Sidecar(unittest.TestCase):
    """A chart of a user that depends on ours."""

    def setUp(self):
        with tempfile.TemporaryDirectory() as directory:
            chart = pathlib.Path(directory, "app")
            shutil.copytree(ROOT / "tests/deploy/chart", chart)
            shutil.copytree(CHART, chart / "charts/bearerd")
            self.rendered = template(chart=chart, release="app")

    def test_the_api_knows_every_key_and_the_pod_is_restricted(self):
        for document in self.rendered:
            hold_against_kubernetes(document)
            for pod in pod_specs(document):
                hold_against_restricted(pod)

    def test_nothing_but_the_configuration_is_made_besides(self):
        self.assertEqual(sorted(document["kind"] for document in self.rendered), ["ConfigMap", "Deployment"])
        ((settings, environment),) = configured(self.rendered)
        check(settings, environment)

    def test_it_is_the_sidecar_of_the_kustomizations(self):
        pod = of_kind(self.rendered, "Deployment")["spec"]["template"]["spec"]
        patch = yaml.safe_load((DEPLOY / "kubernetes/sidecar/pod.yaml").read_text())["spec"]["template"]["spec"]
        (ours,), (theirs,) = pod["initContainers"], patch["initContainers"]
        self.assertEqual({key: ours[key] for key in theirs}, theirs)
        self.assertEqual(set(ours) - set(theirs), {"env", "imagePullPolicy"})
        self.assertEqual(pod["volumes"][1], patch["volumes"][1])


if __name__ == "__main__":
    unittest.main()
