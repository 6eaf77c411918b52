"""Canaille, an identity server in Python (PyPI), with clients and users of its own memory backend.

    python3 server.py --lifetime 5

Its first line names its addresses, and keys and secrets of its clients, made at this start: {"url": "http://127.0.0.1:40001",
"issuer": "…", "token": "…/oauth/token", "introspection": "…", "keys": {"RS256": "PEM"}, "secrets": {"svc": "…"},
"refresh_tokens": {"svc": "…"}}. Clients: svc
(Basic), svc-post, svc-public (none), svc-ALG (private_key_jwt), and api, which may ask about every token; users robot-GRANT. JWT
bearer assertions have a client as issuer and are signed with the key "server". It ends when its standard input does.

Its access tokens of one user and one client differ only by the second in which they were made; hence the many users.
"""

import argparse
import datetime
import json
import os
import secrets
import socket
import sys
import threading

# Plain http, which the library otherwise refuses.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "true"

from canaille import create_app  # noqa: E402
from canaille.app import models  # noqa: E402
from canaille.backends import Backend  # noqa: E402
from joserfc.jwk import ECKey, RSAKey  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GRANTS = ["client_credentials", "password", "refresh_token", JWT_BEARER]
EPOCH = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lifetime", type=int, default=5)
    parser.add_argument("--password", default="robot-canary-pw")
    options = parser.parse_args()

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    keys = {"server": new_rsa(), "RS256": new_rsa(), "ES256": ECKey.generate_key("P-256")}
    known = {name: f"{name}/{secrets.token_urlsafe(24)}" for name in ["svc", "svc-post", "api"]}
    app = create_app(configuration(port, options.lifetime, keys["server"]))
    with app.app_context():
        refresh_tokens = populate(options.password, keys, known)
    server = make_server("127.0.0.1", port, OneAtATime(app), threaded=True, request_handler=Quiet, fd=listener.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()

    url = f"http://127.0.0.1:{port}"
    paths = {"token": "token", "introspection": "introspect", "revocation": "revoke"}
    addresses = {name: f"{url}/oauth/{path}" for name, path in paths.items()}
    pems = {name: key.as_pem(private=True).decode() for name, key in keys.items()}
    print(json.dumps({"url": url, "issuer": url, **addresses, "keys": pems, "secrets": known, "refresh_tokens": refresh_tokens}), flush=True)
    sys.stdin.read()


def new_rsa() -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=True)


def configuration(port: int, lifetime: int, key: RSAKey) -> dict[str, object]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(24),
        "SERVER_NAME": f"127.0.0.1:{port}",
        "PREFERRED_URL_SCHEME": "http",
        "OAUTH2_TOKEN_EXPIRES_IN": {grant: lifetime for grant in GRANTS},
        "CANAILLE": {"DATABASE": "memory", "ENABLE_INTRUDER_LOCKOUT": False},
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [key.as_dict(private=True)]},
    }


def populate(password: str, keys: dict[str, object], known: dict[str, str]) -> dict[str, str]:
    for grant in ["password", "refresh_token", "jwt-bearer"]:
        name = f"robot-{grant}"
        emails = [f"{name}@robots.test"]
        user = models.User(user_name=name, formatted_name=name, family_name=name, emails=emails, password=password)
        Backend.instance.save(user)
    api = client("api", "client_secret_basic", client_secret=known["api"])
    found = [
        client("svc", "client_secret_basic", client_secret=known["svc"]),
        client("svc-post", "client_secret_post", client_secret=known["svc-post"]),
        client("svc-public", "none"),
    ]
    for algorithm in ["RS256", "ES256"]:
        jwk = {**keys[algorithm].as_dict(private=False), "kid": f"kid-{algorithm}"}
        found.append(client(f"svc-{algorithm}", "private_key_jwt", jwks=json.dumps({"keys": [jwk]})))
    for each in [api, *found]:
        # Who may ask about a token: its audience.
        each.audience = [each, api]
        Backend.instance.save(each)
    return {each.client_id: refresh_token(each) for each in found}


def refresh_token(client: object) -> str:
    """What a person's consent would lead to."""
    robot = Backend.instance.get(models.User, user_name="robot-refresh_token")
    value = secrets.token_urlsafe(24)
    token = models.Token(
        token_id=secrets.token_urlsafe(24),
        type="Bearer",
        access_token=secrets.token_urlsafe(24),
        refresh_token=value,
        issue_date=datetime.datetime.now(datetime.timezone.utc),
        lifetime=3600,
        scope=["profile"],
        client=client,
        subject=robot,
        audience=client.audience,
    )
    Backend.instance.save(token)
    return value


def client(name: str, method: str, **more: object) -> object:
    found = models.Client(
        client_id=name,
        client_name=name,
        token_endpoint_auth_method=method,
        grant_types=GRANTS,
        response_types=["code"],
        redirect_uris=["https://unused.test/"],
        scope=["openid", "profile"],
        client_id_issued_at=EPOCH,
        # Within the trusted domains, so that no user needs to consent.
        client_uri="http://robots.localhost",
        **more,
    )
    Backend.instance.save(found)
    return found


class OneAtATime:
    """The memory backend is made for one request at a time."""

    def __init__(self, app: object) -> None:
        self.app = app
        self.lock = threading.Lock()

    def __call__(self, environ: dict, start_response: object) -> list[bytes]:
        with self.lock:
            return list(self.app(environ, start_response))


class Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    main()
