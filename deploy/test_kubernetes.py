"""What deploy/kubernetes/sidecar.yaml promises, read by a YAML parser. Run: ./ci deploy"""

import pathlib
import tomllib
import unittest

import yaml

HERE = pathlib.Path(__file__).resolve().parent
# DESIGN: timeouts.drain.
DRAIN_SECONDS = 25


def documents():
    return list(yaml.safe_load_all((HERE / "kubernetes" / "sidecar.yaml").read_text()))


def of_kind(kind):
    (found,) = [document for document in documents() if document["kind"] == kind]
    return found


class Sidecar(unittest.TestCase):
    def setUp(self):
        self.pod = of_kind("Deployment")["spec"]["template"]["spec"]
        (self.bearerd,) = self.pod["initContainers"]
        (self.app,) = self.pod["containers"]

    def test_it_starts_before_the_application_and_ends_after_it(self):
        self.assertEqual(self.bearerd["restartPolicy"], "Always")
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], DRAIN_SECONDS)

    def test_it_runs_as_nobody_with_nothing_to_gain(self):
        context = self.bearerd["securityContext"]
        self.assertTrue(context["runAsNonRoot"])
        self.assertGreater(context["runAsUser"], 0)
        self.assertTrue(context["readOnlyRootFilesystem"])
        self.assertFalse(context["allowPrivilegeEscalation"])
        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
        self.assertEqual(self.pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})

    def test_every_probe_is_the_verb_of_the_binary_and_none_needs_a_shell(self):
        for probe, flag in [("startupProbe", "--started"), ("readinessProbe", "--ready"), ("livenessProbe", "--live")]:
            with self.subTest(probe):
                self.assertEqual(self.bearerd[probe]["exec"]["command"], ["/bearerd", "healthcheck", flag])

    def test_the_secret_reaches_bearerd_alone_and_can_be_read_by_it(self):
        (volume,) = [volume for volume in self.pod["volumes"] if "secret" in volume]
        self.assertIn(volume["name"], [mount["name"] for mount in self.bearerd["volumeMounts"]])
        self.assertNotIn(volume["name"], [mount["name"] for mount in self.app.get("volumeMounts", [])])
        self.assertEqual(volume["secret"]["defaultMode"], 0o440)
        self.assertEqual(self.pod["securityContext"]["fsGroup"], self.bearerd["securityContext"]["runAsGroup"])

    def test_every_mount_is_read_only_and_has_its_volume(self):
        names = {volume["name"] for volume in self.pod["volumes"]}
        for mount in self.bearerd["volumeMounts"]:
            self.assertIn(mount["name"], names)
            self.assertTrue(mount["readOnly"])

    def test_the_configuration_is_what_the_arguments_name_and_its_secret_lies_in_the_mount(self):
        config_map = of_kind("ConfigMap")
        (volume,) = [volume for volume in self.pod["volumes"] if "configMap" in volume]
        self.assertEqual(volume["configMap"]["name"], config_map["metadata"]["name"])
        mounts = {mount["name"]: mount["mountPath"] for mount in self.bearerd["volumeMounts"]}
        path = pathlib.PurePosixPath(self.bearerd["args"][2])
        self.assertEqual(str(path.parent), mounts[volume["name"]])
        settings = tomllib.loads(config_map["data"][path.name])
        secret = settings["credentials"]["api"]["client_secret"]["file"]
        self.assertEqual(str(pathlib.PurePosixPath(secret).parent), mounts["bearerd-secrets"])

    def test_memory_is_limited(self):
        self.assertIn("memory", self.bearerd["resources"]["limits"])
        self.assertIn("memory", self.bearerd["resources"]["requests"])

    def test_selector_and_labels_agree(self):
        spec = of_kind("Deployment")["spec"]
        self.assertEqual(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"])


class Image(unittest.TestCase):
    """The Dockerfile and the manifest speak of the same image."""

    def setUp(self):
        self.lines = (HERE / "Dockerfile").read_text().splitlines()

    def test_the_image_runs_as_the_user_of_the_manifest(self):
        pod = of_kind("Deployment")["spec"]["template"]["spec"]
        context = pod["initContainers"][0]["securityContext"]
        self.assertIn(f"USER {context['runAsUser']}:{context['runAsGroup']}", self.lines)

    def test_the_builder_has_the_toolchain_of_the_package(self):
        (builder,) = [line for line in self.lines if line.startswith("FROM rust:")]
        major, minor = builder.removeprefix("FROM rust:").split("-")[0].split(".")
        package = tomllib.loads((HERE.parent / "Cargo.toml").read_text())["package"]
        wanted = [int(part) for part in package["rust-version"].split(".")[:2]]
        self.assertGreaterEqual([int(major), int(minor)], wanted)


if __name__ == "__main__":
    unittest.main()
