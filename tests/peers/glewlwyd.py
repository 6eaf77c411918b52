"""Glewlwyd, an authorization server in C (Debian package), set up through its own administration interface.

    python3 glewlwyd.py --lifetime 5 [--tls DIRECTORY]

Its first line names its addresses, and keys and secrets of its clients, made at this start: {"url": "http://127.0.0.1:40001",
"issuer": "…/api/oidc", "token": "…/api/oidc/token", "jwks": "…", "keys": {"RS256": "PEM"}, "secrets": {"svc": "…"},
"refresh_tokens": {"svc": "…"}}.
Clients: svc (Basic), svc-post, svc-secret-jwt, svc-ALG (private_key_jwt), and with --tls svc-tls, which shows a certificate of
ca.pem for svc.test; user robot. Everything lies in a directory of its own; it ends when its standard input does.

Its access tokens are JWTs. It knows self-signed client certificates only behind a proxy that names them in a header.
"""

import argparse
import ctypes
import http.cookiejar
import json
import secrets
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
MODULES = Path("/usr/lib/glewlwyd")
KEYS = {
    "RS256": "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
    "ES256": "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    "EdDSA": "genpkey -algorithm ed25519",
}
# What tokens may be asked for (RFC 8707).
RESOURCE = "https://api.test/items"
GRANTS = ["client_credentials", "password", "refresh_token"]
# The administrator that the schema brings.
ADMIN = {"username": "admin", "password": "password"}

CONFIG = """
port={port}
bind_address="127.0.0.1"
external_url="{url}"
api_prefix="api"
log_mode="console"
log_level="WARNING"
cookie_secure=0
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{modules}/user"
client_module_path="{modules}/client"
user_auth_scheme_module_path="{modules}/scheme"
plugin_module_path="{modules}/plugin"
use_secure_connection={secure}
secure_connection_key_file="{tls}/server.key"
secure_connection_pem_file="{tls}/server.pem"
secure_connection_ca_file="{tls}/ca.pem"
hash_algorithm="SHA512"
database={{ type="sqlite3" path="{database}" }};
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lifetime", type=int, default=5)
    parser.add_argument("--password", default="robot-canary-pw")
    parser.add_argument("--tls", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory), options.tls)
        try:
            print(json.dumps(server.set_up(options)), flush=True)
            sys.stdin.read()
        finally:
            server.process.kill()
            server.process.wait()


class Server:
    """The process, and an administrator who is logged in to it."""

    def __init__(self, directory: Path, tls: Path | None) -> None:
        database = directory / "glewlwyd.db"
        with sqlite3.connect(database) as connection:
            connection.executescript(SCHEMA.read_text())
        port = free_port()
        # Its certificate names a host.
        self.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        config = directory / "glewlwyd.conf"
        text = CONFIG.format(
            port=port, url=self.url, modules=MODULES, secure=str(bool(tls)).lower(), tls=tls or "/nowhere", database=database
        )
        config.write_text(text)
        self.process = subprocess.Popen(
            ["glewlwyd", f"--config-file={config}"], stdin=subprocess.DEVNULL, stdout=sys.stderr, preexec_fn=die_with_parent
        )
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        handlers = [cookies, urllib.request.ProxyHandler({})]
        if tls:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=tls / "ca.pem")))
        self.opener = urllib.request.build_opener(*handlers)
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self.opener.open(f"{self.url}/config", timeout=2).read()
                return
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError):
                    return
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"glewlwyd does not answer: {error}") from error
                time.sleep(0.05)

    def call(self, method: str, path: str, value: object) -> None:
        body = json.dumps(value).encode()
        fields = {"Content-Type": "application/json"}
        self.send(urllib.request.Request(f"{self.url}/api{path}", body, fields, method=method))

    def refresh_token(self, client: str, password: str) -> str:
        form = {"grant_type": "password", "username": "robot", "password": password, "scope": "api.read"}
        form |= {"client_id": client, "client_secret": "by-hand"}
        body = urllib.parse.urlencode(form).encode()
        return json.loads(self.send(urllib.request.Request(f"{self.url}/api/oidc/token", body)))["refresh_token"]

    def send(self, request: urllib.request.Request) -> bytes:
        try:
            return self.opener.open(request, timeout=10).read()
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{request.method} {request.full_url}: {error.code} {error.read().decode()}") from error

    def set_up(self, options: argparse.Namespace) -> dict[str, str]:
        self.call("POST", "/auth/", ADMIN)
        self.call("POST", "/scope/", {"name": "api.read", "display_name": "api.read", "password_required": False, "scheme": {}})
        self.call("POST", "/user/", user("robot", options.password))
        keys = {algorithm: openssl(command) for algorithm, command in KEYS.items()}
        keys["PS256"] = keys["RS256"]
        known = {name: f"{name}/{secrets.token_urlsafe(24)}" for name in ["svc", "svc-post", "svc-secret-jwt"]}
        found = clients(keys, known, bool(options.tls))
        for client in found:
            # With a secret at first, to get a refresh token by hand.
            by_hand = {"token_endpoint_auth_method": ["client_secret_post"], "client_secret": "by-hand"}
            self.call("POST", "/client/", {**client, **by_hand})
        self.call("POST", "/mod/plugin/", plugin(self.url, options))
        refresh_tokens = {}
        for client in found:
            name = client["client_id"]
            refresh_tokens[name] = self.refresh_token(name, options.password)
            self.call("PUT", f"/client/{name}", client)
        oidc = f"{self.url}/api/oidc"
        paths = {"token": "token", "revocation": "revoke", "jwks": "jwks"}
        addresses = {name: f"{oidc}/{path}" for name, path in paths.items()}
        return {"url": self.url, "issuer": oidc, **addresses, "keys": keys, "secrets": known, "refresh_tokens": refresh_tokens}


def user(name: str, password: str) -> dict[str, object]:
    return {"username": name, "name": name, "password": password, "enabled": True, "scope": ["openid", "api.read"], "source": "database"}


def clients(keys: dict[str, str], known: dict[str, str], tls: bool) -> list[dict[str, object]]:
    def client(name: str, method: str, **more: object) -> dict[str, object]:
        return {
            "client_id": name,
            "name": name,
            "enabled": True,
            "confidential": True,
            "source": "database",
            "authorization_type": GRANTS,
            "token_endpoint_auth_method": [method],
            "scope": ["api.read"],
            "redirect_uri": ["https://unused.test/"],
            "resource": [RESOURCE],
            **more,
        }

    found = [
        client("svc", "client_secret_basic", client_secret=known["svc"]),
        client("svc-post", "client_secret_post", client_secret=known["svc-post"]),
        client("svc-secret-jwt", "client_secret_jwt", client_secret=known["svc-secret-jwt"]),
    ]
    for algorithm, key in keys.items():
        found.append(client(f"svc-{algorithm}", "private_key_jwt", pubkey=openssl("pkey -pubout", key)))
    if tls:
        found.append(client("svc-tls", "tls_client_auth", tls_client_auth_san_dns="svc.test"))
    return found


def plugin(url: str, options: argparse.Namespace) -> dict[str, object]:
    key = openssl(KEYS["RS256"])
    parameters = {
        "iss": f"{url}/api/oidc",
        "jwt-type": "rsa",
        "jwt-key-size": "256",
        "key": key,
        "cert": openssl("pkey -pubout", key),
        "jwks-show": True,
        "access-token-duration": options.lifetime,
        "refresh-token-duration": 3600,
        "code-duration": 600,
        "refresh-token-rolling": True,
        # A refresh token that comes twice ends the whole chain.
        "refresh-token-one-use": "always",
        "allow-non-oidc": True,
        "auth-type-client-enabled": True,
        "auth-type-password-enabled": True,
        "auth-type-refresh-enabled": True,
        "auth-type-code-enabled": True,
        "auth-type-token-enabled": False,
        "auth-type-implicit-enabled": False,
        "introspection-revocation-allowed": True,
        "introspection-revocation-allow-target-client": True,
        "request-parameter-allow": True,
        "request-maximum-exp": 3600,
        "client-pubkey-parameter": "pubkey",
        "client-jwks-parameter": "jwks",
        "client-jwks_uri-parameter": "jwks_uri",
        "resource-allowed": True,
        "resource-client-property": "resource",
        "resource-change-allowed": True,
        "client-cert-source": "TLS" if options.tls else "no",
        "client-cert-self-signed-allowed": True,
        "oauth-dpop-allowed": True,
        "oauth-dpop-iat-duration": 60,
    }
    return {"module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": parameters, "enabled": True}


def openssl(command: str, text: str = "") -> str:
    return subprocess.run(["openssl", *command.split()], check=True, capture_output=True, text=True, input=text).stdout


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    main()
