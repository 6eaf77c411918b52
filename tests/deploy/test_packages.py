"""The deb and the rpm: what is in them, what linters say, and what installing and removing them does. Run: ./ci deploy"""

import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from support import BINARY, DEPLOY, ROOT, STATIC, check, output

PACKAGES = DEPLOY / "packages"
OUTPUT = ROOT / "target/packages"
# The static one is what is published.
PACKAGED = STATIC if STATIC.exists() else BINARY
HAVE_DEB, HAVE_RPM = shutil.which("dpkg-deb"), shutil.which("rpmbuild")
# Path -> mode, in both; what else there is lies below /usr/share/doc and /usr/share/licenses.
INSTALLED = {
    "/etc/bearerd/bearerd.toml": "-rw-r-----",
    "/usr/bin/bearerd": "-rwxr-xr-x",
    "/usr/lib/systemd/system/bearerd.service": "-rw-r--r--",
    "/usr/lib/systemd/system/bearerd.socket": "-rw-r--r--",
    "/usr/lib/sysusers.d/bearerd.conf": "-rw-r--r--",
    "/usr/share/bash-completion/completions/bearerd": "-rw-r--r--",
    "/usr/share/fish/vendor_completions.d/bearerd.fish": "-rw-r--r--",
    "/usr/share/man/man1/bearerd.1.gz": "-rw-r--r--",
}
# Runs what follows in this very system, as it would look after: nothing that is written stays.
OVERLAY = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/merged"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/merged"
cp "$2" "$1/merged/tmp/package"
exec chroot "$1/merged" sh -ec "$3"
"""


def build(*arguments, directory=OUTPUT):
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    return output(PACKAGES / "build", *arguments, "--fast", "--output", directory, env=environment).split()


@functools.cache
def packages():
    deb, rpm = build(PACKAGED, "--manual-from", BINARY)
    return pathlib.Path(deb), pathlib.Path(rpm)


def other_machine(directory):
    """What passes for a binary for arm64 until somebody starts it."""
    content = bytearray(PACKAGED.read_bytes())
    content[18] = 183
    path = pathlib.Path(directory, "bearerd-arm64")
    path.write_bytes(content)
    return path


def overlay_works():
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as directory:
        return in_overlay(directory, "/dev/null", "true").returncode == 0


def in_overlay(directory, package, script):
    command = ["unshare", "--mount", "sh", "-c", OVERLAY, "sh", directory, package, script]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@unittest.skipUnless(HAVE_DEB and HAVE_RPM, "no dpkg-deb or no rpmbuild")
class Both(unittest.TestCase):
    def listed(self):
        deb, rpm = packages()
        lines = output("dpkg-deb", "--contents", deb).splitlines()
        yield "deb", {words[5].removeprefix("."): words[0] for words in map(str.split, lines) if words[0][0] != "d"}
        lines = output("rpm", "-qp", "--list", "--verbose", rpm).splitlines()
        yield "rpm", {words[8]: words[0] for words in map(str.split, lines) if words[0][0] != "d"}

    def test_everything_is_where_it_belongs_and_nothing_else_is_there(self):
        zsh = {"deb": "/usr/share/zsh/vendor-completions/_bearerd", "rpm": "/usr/share/zsh/site-functions/_bearerd"}
        for kind, found in self.listed():
            with self.subTest(kind):
                usual = {path: mode for path, mode in found.items() if not path.startswith(("/usr/share/doc", "/usr/share/lic", "/usr/share/lin"))}
                self.assertEqual(usual, {**INSTALLED, zsh[kind]: "-rw-r--r--"})
                self.assertIn("/usr/share/doc/bearerd/examples/config.example.toml", found)

    def test_two_builds_are_the_same_bytes(self):
        with tempfile.TemporaryDirectory() as directory:
            again = build(PACKAGED, "--manual-from", BINARY, directory=directory)
            for one, other in zip(packages(), again):
                digests = {hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() for path in (one, other)}
                self.assertEqual(len(digests), 1, one)

    def test_a_binary_for_arm64_makes_packages_for_arm64(self):
        with tempfile.TemporaryDirectory() as directory:
            deb, rpm = build(other_machine(directory), "--manual-from", BINARY, directory=directory)
            self.assertEqual(output("dpkg-deb", "--field", deb, "Architecture").strip(), "arm64")
            self.assertEqual(output("rpm", "-qp", "--queryformat", "%{ARCH}", rpm), "aarch64")

    def test_what_is_no_binary_is_refused(self):
        done = subprocess.run([PACKAGES / "build", __file__, "--output", OUTPUT], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is no Linux program", done.stderr)

    def test_the_units_start_the_installed_binary_and_its_configuration_is_accepted(self):
        with tempfile.TemporaryDirectory() as directory:
            output("dpkg-deb", "--extract", packages()[0], directory)
            root = pathlib.Path(directory)
            service = (root / "usr/lib/systemd/system/bearerd.service").read_text()
            self.assertIn("\nExecStart=/usr/bin/bearerd run --config /etc/bearerd/bearerd.toml\n", service)
            self.assertIn("is valid", check((root / "etc/bearerd/bearerd.toml").read_text()))
            page = output("man", "--local-file", root / "usr/share/man/man1/bearerd.1.gz") if shutil.which("man") else ""
            self.assertTrue(not page or "healthcheck" in page)

    def test_the_configuration_is_kept_when_it_was_changed(self):
        deb, rpm = packages()
        self.assertEqual(output("dpkg-deb", "--info", deb, "conffiles"), "/etc/bearerd/bearerd.toml\n")
        self.assertEqual(output("rpm", "-qp", "--configfiles", rpm), "/etc/bearerd/bearerd.toml\n")

    @unittest.skipUnless(shutil.which("lintian"), "no lintian")
    def test_lintian_finds_nothing(self):
        output("lintian", "--allow-root", "--fail-on", "error,warning", packages()[0])

    @unittest.skipUnless(shutil.which("rpmlint"), "no rpmlint")
    def test_rpmlint_finds_nothing(self):
        told = output("rpmlint", "--config", PACKAGES / "rpm/rpmlint.toml", packages()[1])
        self.assertIn("0 errors, 0 warnings", told)


@unittest.skipUnless(HAVE_DEB and HAVE_RPM and overlay_works(), "not root, or no overlay file system")
class Installed(unittest.TestCase):
    """Installed and removed in an overlay of this system, scripts and all."""

    AFTERWARDS = 'stat -c "%A %U %G" /etc/bearerd/bearerd.toml; id -un bearerd; bearerd --version'

    def run_in_overlay(self, package, script):
        with tempfile.TemporaryDirectory() as directory:
            done = in_overlay(directory, package, script)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_deb(self):
        told = self.run_in_overlay(
            packages()[0],
            f"dpkg --install /tmp/package; {self.AFTERWARDS}; echo changed >> /etc/bearerd/bearerd.toml;"
            "dpkg --install /tmp/package; tail -n 1 /etc/bearerd/bearerd.toml; touch /etc/bearerd/client_secret;"
            "dpkg --purge bearerd; ls /etc/bearerd; test ! -e /usr/bin/bearerd",
        )
        self.assertIn("-rw-r----- root bearerd\nbearerd\nbearerd ", told)
        self.assertIn("\nchanged\n", told)
        self.assertTrue(told.endswith("\nclient_secret\n"), told)

    def test_rpm(self):
        rpm = "rpm --dbpath /tmp/rpmdb --nodeps"
        told = self.run_in_overlay(
            packages()[1],
            f"{rpm} --install /tmp/package; {self.AFTERWARDS}; echo changed >> /etc/bearerd/bearerd.toml;"
            f"{rpm} --erase bearerd; test ! -e /usr/bin/bearerd; tail -n 1 /etc/bearerd/bearerd.toml.rpmsave",
        )
        self.assertIn("-rw-r----- root bearerd\nbearerd\nbearerd ", told)
        self.assertTrue(told.endswith("changed\n"), told)


if __name__ == "__main__":
    unittest.main()
