"""What deploy/kubernetes promises, as the real kubectl renders it. Run: ./ci deploy"""

import functools
import pathlib
import re
import tomllib
import unittest

import yaml

from support import BINARY, DEPLOY, DRAIN_SECONDS, KUBECTL, USER
from support import all_containers, check, configured, documents, hold_against_kubernetes, hold_against_restricted
from support import output, pod_specs

KUBERNETES = DEPLOY / "kubernetes"
# Directory -> whether bearerd is a native sidecar there.
RENDERED = {"deployment": True, "cronjob": True, "job": True, "job-exec": False, "overlays/production": True}


@functools.cache
def render(name):
    return documents(output(KUBECTL, "kustomize", KUBERNETES / name))


def only(found):
    (one,) = found
    return one


def pod_of(rendered):
    return only([pod for document in rendered for pod in pod_specs(document)])


def bearerd_of(pod):
    return only([container for container in pod["initContainers"] if container["name"] == "bearerd"])


def of_kind(rendered, kind):
    return only([document for document in rendered if document["kind"] == kind])


class Files(unittest.TestCase):
    def test_every_kustomization_that_can_be_applied_is_rendered_by_these_tests(self):
        found = {
            str(path.parent.relative_to(KUBERNETES))
            for path in KUBERNETES.rglob("kustomization.yaml")
            if yaml.safe_load(path.read_text())["kind"] == "Kustomization"
        }
        self.assertEqual(found, set(RENDERED))

    def test_every_file_is_named_by_its_kustomization(self):
        for path in KUBERNETES.rglob("*"):
            if path.is_file() and path.name not in ("kustomization.yaml", "README.md"):
                with self.subTest(path):
                    self.assertIn(f"- {path.name}\n", re.sub("- path: ", "- ", (path.parent / "kustomization.yaml").read_text()))

    def test_the_sidecar_of_a_cron_job_is_that_of_the_other_kinds(self):
        usual = yaml.safe_load((KUBERNETES / "sidecar/pod.yaml").read_text())
        cron = yaml.safe_load((KUBERNETES / "sidecar/cronjob.yaml").read_text())
        self.assertEqual(cron["spec"]["jobTemplate"]["spec"], usual["spec"])


    def test_the_sidecar_changes_nothing_of_a_pod_but_what_it_adds(self):
        spec = yaml.safe_load((KUBERNETES / "sidecar/pod.yaml").read_text())["spec"]["template"]["spec"]
        self.assertEqual(set(spec), {"initContainers", "volumes"})


@unittest.skipUnless(KUBECTL.exists(), "no kubectl")
class Rendered(unittest.TestCase):
    def each(self, sidecars_only=False):
        for name, sidecar in RENDERED.items():
            if sidecar or not sidecars_only:
                yield name, render(name)

    def test_the_api_knows_every_kind_and_every_key(self):
        for _, rendered in self.each():
            for document in rendered:
                hold_against_kubernetes(document)

    def test_every_pod_is_restricted(self):
        for _, rendered in self.each():
            hold_against_restricted(pod_of(rendered))

    def test_bearerd_accepts_every_configuration(self):
        for _, rendered in self.each():
            self.assertIn("is valid", check(*only(list(configured(rendered)))))

    def test_a_sidecar_starts_before_the_application_and_ends_after_it(self):
        for _, rendered in self.each(sidecars_only=True):
            pod = pod_of(rendered)
            self.assertEqual(bearerd_of(pod)["restartPolicy"], "Always")
            # Kubernetes' own, unless the application says otherwise.
            self.assertGreater(pod.get("terminationGracePeriodSeconds", 30), DRAIN_SECONDS)
            self.assertNotIn("lifecycle", str(pod))

    def test_bearerd_has_a_user_of_its_own_and_nothing_to_gain(self):
        for _, rendered in self.each():
            pod = pod_of(rendered)
            context = bearerd_of(pod)["securityContext"]
            self.assertEqual((context["runAsUser"], context["runAsGroup"]), (USER, USER))
            self.assertTrue(context["readOnlyRootFilesystem"])
            self.assertFalse(pod["automountServiceAccountToken"])

    def test_every_probe_asks_bearerd_alone_and_none_needs_a_shell(self):
        flags = {"startupProbe": "started", "readinessProbe": "ready", "livenessProbe": "live"}
        paths = {"startupProbe": "/startupz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
        for name, rendered in self.each(sidecars_only=True):
            bearerd = bearerd_of(pod_of(rendered))
            for probe, flag in flags.items():
                if "BEARERD_PROBE_LISTEN" in str(bearerd.get("env")):
                    self.assertEqual(bearerd[probe]["httpGet"]["path"], paths[probe])
                    self.assertNotIn("exec", bearerd[probe])
                else:
                    self.assertEqual(bearerd[probe]["exec"]["command"], ["/bearerd", "healthcheck", f"--{flag}"])

    def test_the_secret_reaches_bearerd_alone_and_can_be_read_by_it(self):
        for _, rendered in self.each():
            pod = pod_of(rendered)
            volume = only([volume for volume in pod["volumes"] if "secret" in volume])
            having = [
                container
                for container in all_containers(pod)
                if volume["name"] in [mount["name"] for mount in container.get("volumeMounts", [])]
            ]
            container = only(having)
            self.assertTrue(container["name"] == "bearerd" or container["command"][:2] == ["/opt/bearerd/bearerd", "exec"])
            # Where the job has the mount too, another user must not read it.
            if container["name"] == "bearerd":
                self.assertEqual(volume["secret"]["defaultMode"], 0o444)
            else:
                self.assertEqual(volume["secret"]["defaultMode"], 0o440)
                self.assertEqual(pod["securityContext"]["fsGroup"], container["securityContext"]["runAsGroup"])

    def test_the_configuration_is_where_bearerd_looks_and_its_secret_lies_in_the_mount(self):
        for _, rendered in self.each():
            pod = pod_of(rendered)
            for container in all_containers(pod):
                mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
                if "bearerd-config" not in mounts:
                    continue
                named = [*container.get("args", []), *[entry["value"] for entry in container.get("env", [])]]
                self.assertIn(mounts["bearerd-config"] + "/bearerd.toml", named)
                settings = tomllib.loads(of_kind(rendered, "ConfigMap")["data"]["bearerd.toml"])
                secret = settings["credentials"]["api"]["client_secret"]["file"]
                self.assertEqual(str(pathlib.PurePosixPath(secret).parent), mounts["bearerd-secrets"])

    def test_memory_is_limited_and_little_is_asked_for(self):
        for _, rendered in self.each():
            resources = bearerd_of(pod_of(rendered))["resources"]
            self.assertIn("memory", resources["limits"])
            self.assertNotIn("cpu", resources["limits"])
            self.assertEqual(set(resources["requests"]), {"cpu", "memory"})

    def test_a_network_policy_selects_the_pods_and_names_the_ports(self):
        rendered = render("overlays/production")
        pod = of_kind(rendered, "Deployment")["spec"]["template"]
        policies = [document["spec"] for document in rendered if document["kind"] == "NetworkPolicy"]
        self.assertEqual(len(policies), 2)
        for policy in policies:
            self.assertLessEqual(policy["podSelector"]["matchLabels"].items(), pod["metadata"]["labels"].items())
        opened = {port["port"] for policy in policies for rule in policy["ingress"] for port in rule["ports"]}
        ports = {port["containerPort"] for container in all_containers(pod["spec"]) for port in container["ports"]}
        self.assertEqual(opened, ports)

    def test_the_overlay_replaces_namespace_images_and_configuration(self):
        rendered = render("overlays/production")
        for document in rendered:
            if document["kind"] != "Namespace":
                self.assertEqual(document["metadata"]["namespace"], "billing")
        for container in all_containers(pod_of(rendered)):
            self.assertTrue(container["image"].startswith("registry.example.com/"))
        self.assertIn('client_id     = "billing"', of_kind(rendered, "ConfigMap")["data"]["bearerd.toml"])

    def test_a_workload_can_do_without(self):
        for kind in ("Deployment", "CronJob"):
            text = (KUBERNETES / "sidecar/kustomization.yaml").read_text()
            self.assertIn(kind, text)
        self.assertEqual(text.count("labelSelector: bearerd.sidecar!=none"), 2)

    def test_a_secret_made_as_the_readme_says_has_the_name_and_the_key_that_are_asked_for(self):
        command = next(
            line for line in (KUBERNETES / "README.md").read_text().splitlines() if line.startswith("kubectl create secret")
        )
        words = command.split()[1:]
        made = documents(output(KUBECTL, *words[:-1], "--from-literal=client_secret=x", "--dry-run=client", "-o", "yaml"))
        hold_against_kubernetes(made[0])
        self.assertIn("--from-file=client_secret=", words[-1])
        volume = only([volume for volume in pod_of(render("deployment"))["volumes"] if "secret" in volume])
        self.assertEqual(made[0]["metadata"]["name"], volume["secret"]["secretName"])


@unittest.skipUnless(KUBECTL.exists(), "no kubectl")
class JobExec(unittest.TestCase):
    def setUp(self):
        self.job = of_kind(render("job-exec"), "Job")["spec"]
        self.pod = self.job["template"]["spec"]
        (self.container,) = self.pod["containers"]

    def test_refused_credentials_and_a_wrong_configuration_fail_the_job_at_once(self):
        rule = self.job["podFailurePolicy"]["rules"][0]
        self.assertEqual(rule["action"], "FailJob")
        self.assertEqual(rule["onExitCodes"]["values"], [77, 78])
        self.assertEqual(rule["onExitCodes"]["containerName"], self.container["name"])
        self.assertEqual(self.pod["restartPolicy"], "Never")

    def test_the_binary_comes_by_the_volume_that_it_is_run_from(self):
        copier = bearerd_of(self.pod)
        self.assertEqual(copier["args"], ["copy-to", "/opt/bearerd"])
        self.assertEqual(self.container["command"][0], "/opt/bearerd/bearerd")
        for container in (copier, self.container):
            self.assertIn("/opt/bearerd", [mount["mountPath"] for mount in container["volumeMounts"]])

    def test_bearerd_has_the_verbs_and_the_flags(self):
        output(BINARY, "copy-to", "--help")
        told = output(BINARY, "exec", "--help")
        for word in self.container["command"][: self.container["command"].index("--")]:
            if word.startswith("--"):
                self.assertIn(word, told)


if __name__ == "__main__":
    unittest.main()
