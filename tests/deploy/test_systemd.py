"""The unit and the configuration that goes with it agree. Run: ./ci deploy"""

import pathlib
import tomllib
import unittest

HERE = pathlib.Path(__file__).resolve().parent
# DESIGN: timeouts.drain.
DRAIN_SECONDS = 25


class Unit(unittest.TestCase):
    NAME = "bearerd.service"

    def setUp(self):
        self.text = (HERE / "systemd" / "bearerd.toml").read_text()
        self.settings = tomllib.loads(self.text)
        lines = (HERE / "systemd" / self.NAME).read_text().splitlines()
        pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
        self.unit = {key: [value for other, value in pairs if other == key] for key, _ in pairs}

    def one(self, key):
        (value,) = self.unit[key]
        return value


class Service(Unit):

    def test_the_secret_is_handed_over_under_the_name_that_the_configuration_asks_for(self):
        name, _ = self.one("LoadCredential").split(":")
        self.assertEqual(self.settings["credentials"]["api"]["client_secret"], {"systemd": name})

    def test_the_state_directory_is_the_one_that_systemd_makes(self):
        self.assertEqual(self.settings["state_directory"], "/var/lib/" + self.one("StateDirectory"))

    def test_requests_in_flight_are_finished_before_systemd_loses_patience(self):
        self.assertGreater(int(self.one("TimeoutStopSec")), DRAIN_SECONDS)

    def test_a_wrong_configuration_is_not_tried_again(self):
        self.assertEqual(self.one("Restart"), "on-failure")
        self.assertIn("78", self.one("RestartPreventExitStatus").split())

    def test_no_secret_is_in_the_unit(self):
        for key in ("Environment", "EnvironmentFile", "SetCredential"):
            self.assertNotIn(key, self.unit)


class Socket(Unit):
    NAME = "bearerd.socket"

    def test_the_configuration_names_the_socket_as_systemd_does(self):
        self.assertNotIn("FileDescriptorName", self.unit)  # So it is the unit's own name.
        self.assertIn(f'\n#listen = "fd:{self.NAME}"\n', self.text)

    def test_it_listens_where_bearerd_would_and_nowhere_else(self):
        self.assertEqual(self.unit["ListenStream"], ["127.0.0.1:8080", "[::1]:8080"])

    def test_bearerd_gets_the_socket_itself_and_never_starts_without_it(self):
        self.assertEqual((self.one("Accept"), self.one("RequiredBy")), ("no", "bearerd.service"))


if __name__ == "__main__":
    unittest.main()
