"""deploy/compose, against the Compose Specification, the image and bearerd. Run: ./ci deploy"""

import pathlib
import unittest

import yaml

from support import DEPLOY, DRAIN_SECONDS, check, hold_against_compose

COMPOSE = DEPLOY / "compose"


class Compose(unittest.TestCase):
    def setUp(self):
        self.project = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
        self.app = self.project["services"]["app"]
        self.bearerd = self.project["services"]["bearerd"]

    def test_the_specification_knows_every_key(self):
        hold_against_compose(self.project)

    def test_the_specification_is_really_asked(self):
        self.app["imagee"] = "example"
        with self.assertRaises(Exception) as refused:
            hold_against_compose(self.project)
        self.assertIn("imagee", str(refused.exception))

    def test_only_the_application_shares_the_loopback_that_bearerd_listens_on(self):
        self.assertEqual(self.app["network_mode"], "service:bearerd")
        self.assertEqual(self.app["environment"]["API_URL"], "http://localhost:8080")
        self.assertNotIn("8080", str(self.bearerd["ports"]))
        self.assertNotIn("\nlisten", (COMPOSE / "bearerd.toml").read_text())

    def test_bearerd_accepts_the_configuration_and_finds_its_secret(self):
        settings = (COMPOSE / "bearerd.toml").read_text()
        check(settings)
        for secret in self.bearerd["secrets"]:
            self.assertIn(f'"/run/secrets/{secret}"', settings)
            self.assertIn(secret, self.project["secrets"])

    def test_it_is_built_of_the_dockerfile_and_asked_as_the_image_says(self):
        build = self.bearerd["build"]
        self.assertTrue((COMPOSE / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile"))
        command = ", ".join(f'"{word}"' for word in self.bearerd["healthcheck"]["test"][1:])
        self.assertIn(f"CMD [{command}]", pathlib.Path(DEPLOY / "Dockerfile").read_text())

    def test_there_is_time_to_drain(self):
        self.assertGreater(int(self.bearerd["stop_grace_period"].removesuffix("s")), DRAIN_SECONDS)


if __name__ == "__main__":
    unittest.main()
