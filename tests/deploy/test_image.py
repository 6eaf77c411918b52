"""The image that deploy/image makes: as the Dockerfile says, the same each time, and it runs. Run: ./ci deploy"""

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import tomllib
import unittest

from support import BINARY, DEPLOY, ROOT, STATIC, USER, output

SKOPEO, UMOCI = shutil.which("skopeo"), shutil.which("umoci")


def make(directory, *binaries):
    """The digest, and the layout's name for tools."""
    layout = pathlib.Path(directory, "image")
    told = output(DEPLOY / "image", *binaries, "--output", layout, "--tag", "test")
    return told.splitlines()[-1], f"{layout}:test"


def blob(layout, digest):
    return json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())


class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = b'{"access_token": "only-for-this-test", "expires_in": 3600}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The output is the test runner's."""


@contextlib.contextmanager
def token_endpoint():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenEndpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/token"
        server.shutdown()


class Dockerfile(unittest.TestCase):
    def setUp(self):
        self.text = (DEPLOY / "Dockerfile").read_text()

    def test_the_builder_has_the_toolchain_of_the_package(self):
        (builder,) = [line for line in self.text.splitlines() if line.startswith("ARG RUST_IMAGE=rust:")]
        major, minor = builder.removeprefix("ARG RUST_IMAGE=rust:").split("-")[0].split(".")
        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
        wanted = [int(part) for part in package["rust-version"].split(".")[:2]]
        self.assertGreaterEqual([int(major), int(minor)], wanted)
        self.assertIn("cargo build --release --locked", self.text)

    def test_it_carries_the_version_of_the_package(self):
        version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
        self.assertIn(f'org.opencontainers.image.version="{version}"', self.text)

    def test_a_dynamic_binary_is_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run([DEPLOY / "image", BINARY, "--output", f"{directory}/i"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("linked dynamically", done.stderr)
            self.assertEqual(os.listdir(directory), [])


@unittest.skipUnless(STATIC.exists(), "no static binary")
class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.digest, cls.name = make(cls.directory.name, STATIC)
        cls.layout = pathlib.Path(cls.directory.name, "image")

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def configuration(self):
        (manifest,) = json.loads((self.layout / "index.json").read_text())["manifests"]
        return blob(self.layout, blob(self.layout, manifest["digest"])["config"]["digest"])["config"]

    def test_it_says_what_the_dockerfile_says(self):
        last = (DEPLOY / "Dockerfile").read_text().split("FROM scratch")[1]
        configuration = self.configuration()
        self.assertIn(f"\nUSER {configuration['User']}\n", last)
        self.assertEqual(configuration["User"], f"{USER}:{USER}")
        self.assertIn(f"\nENTRYPOINT {json.dumps(configuration['Entrypoint'])}\n", last)
        self.assertIn(f"\nCMD {json.dumps(configuration['Cmd'])}\n", last)
        health = configuration["Healthcheck"]
        self.assertIn(f" CMD {json.dumps(health['Test'][1:])}\n", last)
        for flag, key in (("interval", "Interval"), ("timeout", "Timeout"), ("start-period", "StartPeriod")):
            self.assertIn(f"--{flag}={health[key] // 1_000_000_000}s ", last)
        for key, value in configuration["Labels"].items():
            self.assertIn(f'{key}="{value}"', last)

    def test_two_builds_are_the_same_bytes(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(make(directory, STATIC)[0], self.digest)

    def test_binaries_for_two_machines_make_one_image(self):
        content = bytearray(STATIC.read_bytes())
        content[18] = 183
        with tempfile.TemporaryDirectory() as directory:
            other = pathlib.Path(directory, "arm64")
            other.write_bytes(content)
            digest, _ = make(directory, STATIC, other)
            index = blob(pathlib.Path(directory, "image"), digest)
        self.assertEqual([entry["platform"]["architecture"] for entry in index["manifests"]], ["amd64", "arm64"])

    @unittest.skipUnless(SKOPEO, "no skopeo")
    def test_skopeo_reads_it_and_makes_a_docker_archive_of_it(self):
        told = json.loads(output(SKOPEO, "inspect", f"oci:{self.name}"))
        self.assertEqual((told["Digest"], told["Os"]), (self.digest, "linux"))
        with tempfile.TemporaryDirectory() as directory:
            output(SKOPEO, "--insecure-policy", "copy", "--quiet", f"oci:{self.name}", f"docker-archive:{directory}/image.tar")
            told = json.loads(output(SKOPEO, "inspect", "--config", f"docker-archive:{directory}/image.tar"))
            self.assertEqual(told["config"]["User"], f"{USER}:{USER}")

    @unittest.skipUnless(UMOCI and os.geteuid() == 0, "no umoci, or not root")
    def test_it_runs_as_nobody_on_an_empty_root_and_its_healthcheck_passes(self):
        with tempfile.TemporaryDirectory() as directory, token_endpoint() as endpoint:
            os.chmod(directory, 0o755)
            output(UMOCI, "unpack", "--image", self.name, f"{directory}/bundle", stderr=subprocess.DEVNULL)
            root = pathlib.Path(directory, "bundle/rootfs")
            self.assertEqual(sorted(path.name for path in root.iterdir()), ["bearerd", "etc", "var"])
            state = (root / "var/lib/bearerd").stat()
            self.assertEqual((state.st_uid, state.st_gid, state.st_mode & 0o7777), (USER, USER, 0o700))
            (root / "etc/bearerd").mkdir()
            (root / "etc/bearerd/bearerd.toml").write_text(
                f'listen = "127.0.0.1:0"\nstate_directory = "/var/lib/bearerd"\n'
                f'[admin]\nlisten = "unix:/var/lib/bearerd/admin.sock"\n'
                f'[routes.api]\nupstream = "https://api.example.com"\n'
                f'[credentials.api]\ntoken_endpoint = "{endpoint}"\nclient_id = "test"\nclient_secret = "only-for-this-test"\n'
            )
            self.healthcheck_passes(root)

    def healthcheck_passes(self, root):
        configuration = self.configuration()

        def inside(*words):
            uid, gid = configuration["User"].split(":")
            return [shutil.which("chroot"), f"--userspec={uid}:{gid}", root, *words]

        environment = {"BEARERD_ADMIN_LISTEN": "unix:/var/lib/bearerd/admin.sock"}
        with open(root.parent / "log", "w+", encoding="utf-8") as log:
            process = subprocess.Popen(inside(*configuration["Entrypoint"], *configuration["Cmd"]), env={}, stderr=log, stdout=log)
            try:
                deadline = time.monotonic() + 30
                command = inside(*configuration["Healthcheck"]["Test"][1:])
                while subprocess.run(command, env=environment, capture_output=True).returncode != 0:
                    log.seek(0)
                    self.assertIsNone(process.poll(), log.read())
                    self.assertLess(time.monotonic(), deadline, log.read())
                process.terminate()
                self.assertEqual(process.wait(timeout=30), 0)
            finally:
                process.kill()
                process.wait()


if __name__ == "__main__":
    unittest.main()
