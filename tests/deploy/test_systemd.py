"""The units and the configurations that go with them agree. Run: ./ci deploy"""

import tomllib
import unittest

from support import DEPLOY, DRAIN_SECONDS, check

SYSTEMD = DEPLOY / "systemd"


def unit(path):
    """Key -> values, in their order; keys of all sections, since none is in two of them."""
    lines = path.read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
    return {key: [value for other, value in pairs if other == key] for key, _ in pairs}


class Unit(unittest.TestCase):
    NAME = "bearerd.service"

    def setUp(self):
        self.text = (SYSTEMD / "bearerd.toml").read_text()
        self.settings = tomllib.loads(self.text)
        self.unit = unit(SYSTEMD / self.NAME)

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

    def test_neither_a_wrong_configuration_nor_refused_credentials_are_tried_again(self):
        self.assertEqual(self.one("Restart"), "on-failure")
        self.assertLessEqual({"77", "78"}, set(self.one("RestartPreventExitStatus").split()))

    def test_it_says_when_it_is_ready_reloads_by_a_signal_and_is_watched(self):
        self.assertEqual(self.one("Type"), "notify")
        self.assertEqual(self.one("ExecReload"), "/bin/kill -HUP $MAINPID")
        self.assertGreaterEqual(int(self.one("WatchdogSec")), 10)

    def test_bearerd_accepts_the_configuration(self):
        self.assertIn("is valid", check(self.text))

    def test_no_secret_is_in_the_unit(self):
        for key in ("Environment", "EnvironmentFile", "SetCredential"):
            self.assertNotIn(key, self.unit)


class PlainFiles(unittest.TestCase):
    """For systemd before 247: another user, another place of the secret, and else the same."""

    def setUp(self):
        self.directory = SYSTEMD / "plain-files"
        self.text = (self.directory / "bearerd.toml").read_text()

    def test_it_differs_from_the_usual_unit_in_nothing_else(self):
        usual, plain = unit(SYSTEMD / "bearerd.service"), unit(self.directory / "bearerd.service")
        self.assertEqual(set(usual) - set(plain), {"DynamicUser", "LoadCredential", "ProtectProc", "ProcSubset"})
        self.assertEqual(set(plain) - set(usual), {"User", "Group"})
        self.assertEqual({key: plain[key] for key in usual if key in plain}, {key: usual[key] for key in usual if key in plain})

    def test_bearerd_accepts_the_configuration_whose_secret_lies_beside_it(self):
        self.assertIn("is valid", check(self.text))
        self.assertEqual(tomllib.loads(self.text)["credentials"]["api"]["client_secret"], {"file": "client_secret"})


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
