"""A real bearerd with traffic and with failures, and a real Prometheus that scrapes it and has loaded the alert rules.

Owns both processes, the servers that bearerd talks to, and their directory. Everything is on loopback, on ports of the moment.
"""

import contextlib
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("BEARERD_TEST_BINARY", str(ROOT / "target/debug/bearerd"))
RULES = ROOT / "deploy/prometheus/alerts.yaml"
SCRAPE_SECONDS = 0.5
# Past every proxy of the environment.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

CONFIGURATION = """
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"

# Below what one kept body takes, so that it is spent at once.
[limits]
replay_memory = "8KiB"

[routes.api]
upstream = "http://127.0.0.1:{upstream}"
credential = "api"

[routes.denied]
path = "/denied"
upstream = "http://127.0.0.1:{upstream}"
credential = "denied"

[routes.dead]
path = "/dead"
upstream = "https://127.0.0.1:{closed}"
credential = "none"
tls = {{ ca = "ca.pem" }}

[credentials.api]
token_endpoint = "http://127.0.0.1:{tokens}/token"
client_id = "api"
client_secret = "only-for-this-test"

[credentials.api.budget]
requests = 10000
per = "1d"

[credentials.api.rejection]
replay_body_limit = "16KiB"

[credentials.denied]
token_endpoint = "http://127.0.0.1:{tokens}/token"
client_id = "denied"
client_secret = "only-for-this-test"
required = false
refresh = {{ wait = "1s" }}

[store]
kind = "file"
directory = "store"
seal_key = "only for this test, but long enough"
"""


def fetch(url, data=None, headers=None, seconds=10):
    """Status and text of one exchange; errors of HTTP are answers too."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with OPENER.open(request, timeout=seconds) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


def eventually(what, holds, seconds=20):
    """Polls until `holds` returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def free_port():
    """For a program that cannot choose one by itself and say which."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Servers:
    """A token endpoint and an upstream, whose tokens are good until `revoke`."""

    def __init__(self):
        self.tokens, self.api = self._serve(self._token), self._serve(self._answer)
        self.generation = 0
        self.accepts = 0

    def close(self):
        for server in (self.tokens, self.api):
            server.shutdown()
            server.server_close()

    def revoke(self):
        """Tokens issued so far are rejected from now on."""
        self.accepts = self.generation + 1

    def _token(self, request, body):
        login = request.headers.get("Authorization", "")
        # "denied:…" in base64 begins so, whatever the secret is.
        if login.startswith("Basic ZGVuaWVk"):
            return 401, {"error": "invalid_client"}
        self.generation += 1
        return 200, {"access_token": f"token-{self.generation}", "token_type": "Bearer", "expires_in": 3600}

    def _answer(self, request, body):
        token = re.search(r"token-(\d+)", request.headers.get("Authorization", ""))
        if token and int(token[1]) < self.accepts:
            return 401, {"error": "invalid_token"}
        return (500 if request.path.startswith("/broken") else 200), {"length": len(body)}

    @staticmethod
    def _serve(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def exchange(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, value = answer(self, body)
                text = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = exchange

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


class Bearerd:
    """The real binary between those servers."""

    def __init__(self, directory, servers):
        self.path = directory / "bearerd.toml"
        certificate = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7",
                       "-subj", "/CN=stage", "-keyout", directory / "ca.key", "-out", directory / "ca.pem"]
        subprocess.run(["openssl", *certificate], check=True, capture_output=True)
        ports = {"tokens": servers.tokens.server_port, "upstream": servers.api.server_port, "closed": free_port()}
        self.text = CONFIGURATION.format(**ports)
        self.path.write_text(self.text)
        self.log = directory / "bearerd.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BEARERD_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [BINARY, "run", self.path], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment | {"BEARERD_LOG_FORMAT": "json"})
        self.admin = eventually("bearerd listens", lambda: self._address("admin listening"))
        self.url = f"http://{self._address('listening')}"
        eventually("ready", lambda: fetch(f"http://{self.admin}/readyz")[0] == 200)

    def _address(self, message):
        if self.process.poll() is not None:
            raise AssertionError(f"bearerd has ended: {self.log.read_text()}")
        for line in self.log.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                event = json.loads(line)
                event |= event.get("fields", {})
                if event.get("message") == message and event.get("address"):
                    return event["address"]
        return None

    def page(self):
        return fetch(f"http://{self.admin}/metrics")[1]

    def reload(self, text, outcome):
        """Another configuration, and what became of it."""
        series = f'bearerd_config_reloads_total{{outcome="{outcome}"}} '
        count = lambda: float(self.page().split("\n" + series)[1].split("\n")[0])
        before = count()
        self.path.write_text(text)
        self.process.send_signal(signal.SIGHUP)
        eventually(f"a reload that ends with {outcome}", lambda: count() > before)


class Prometheus:
    """The real one, with the alert rules, scraping one bearerd."""

    def __init__(self, directory, target):
        configuration = {
            "global": {"scrape_interval": f"{int(SCRAPE_SECONDS * 1000)}ms", "scrape_timeout": f"{int(SCRAPE_SECONDS * 1000)}ms",
                       "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "bearerd", "static_configs": [{"targets": [target]}]}],
        }
        path, port = directory / "prometheus.yml", free_port()
        path.write_text(json.dumps(configuration))  # Every JSON document is one of YAML too.
        self.url, self.log = f"http://127.0.0.1:{port}", directory / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={directory / 'tsdb'}",
                 f"--web.listen-address=127.0.0.1:{port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
        eventually("Prometheus is ready", self._is_ready)

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Prometheus has ended: {self.log.read_text()}")
        with contextlib.suppress(OSError):
            return fetch(self.url + "/-/ready")[0] == 200

    def ask(self, path, **parameters):
        """The data of an answer of its API; its own words where it refuses."""
        _, text = fetch(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}")
        answer = json.loads(text)
        if answer["status"] != "success":
            raise AssertionError(f"{parameters}: {answer.get('error')}")
        return answer["data"]

    def values(self, query):
        """Labels and numbers of an instant query, without what is no number."""
        pairs = [(one["metric"], float(one["value"][1])) for one in self.ask("query", query=query)["result"]]
        return [(labels, value) for labels, value in pairs if value == value]


class Stage:
    """All of it, and a traffic that meets everything that a test can bring about within seconds."""

    def __init__(self):
        with contextlib.ExitStack() as stack:
            self.directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self.servers = Servers()
            stack.callback(self.servers.close)
            self.bearerd = Bearerd(self.directory, self.servers)
            stack.callback(end, self.bearerd.process)
            self.prometheus = Prometheus(self.directory, self.bearerd.admin)
            stack.callback(end, self.prometheus.process)
            self._over = threading.Event()
            traffic = threading.Thread(target=self._traffic)
            traffic.start()
            stack.callback(traffic.join)
            stack.callback(self._over.set)
            self._reloads()
            self._stack = stack.pop_all()

    def close(self):
        self._stack.close()

    def _reloads(self):
        """One that changes nothing, then a broken one, each after a scrape saw what was before."""
        eventually("a scrape", lambda: self.prometheus.values("bearerd_build_info"))
        self.bearerd.reload(self.bearerd.text + "\n# Another comment.\n", "success")
        self.bearerd.reload(self.bearerd.text.replace("client_id", "clientid"), "failure")

    def _traffic(self):
        turn = 0
        while not self._over.is_set():
            turn += 1
            self._ask("/items")
            self._ask("/items", data=b"x" * 1000)
            self._ask("/broken")
            self._ask("/dead/items")
            self._ask("/denied/items")
            self._ask("/items", headers={"Host": "evil.example"})
            # What is rejected within a gap is passed on, and so is what was too long to keep.
            if turn % 8 == 0:
                self.servers.revoke()
                self._ask("/items", data=b"x" * 100_000)
            time.sleep(0.02)

    def _ask(self, target, **more):
        with contextlib.suppress(OSError):
            fetch(self.bearerd.url + target, **more)


def end(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
