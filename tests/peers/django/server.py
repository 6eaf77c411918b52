"""Django with django-oauth-toolkit (PyPI), an authorization server whose refresh tokens work once and whose access tokens die when they
are renewed, and an API that it guards.

    python3 server.py --lifetime=4 --secret=svc-canary-secret-1

Its first line names the addresses: {"issuer": "127.0.0.1:40001", "api": "127.0.0.1:40002"}. `issuer` has the token endpoint at /token,
for the client svc (Basic). `api` looks into the server's own tables: 200 to a live token, 401 to any other. Beside that it is for
the test alone: POST /grant makes a first refresh token, as a person's consent would; GET /counts tells what happened so far.
A refresh token that comes twice ends its whole family. Everything lies in a directory of its own; it ends when its standard input does.
"""

import argparse
import hashlib
import json
import secrets
import sys
import tempfile
import threading
import urllib.parse
import uuid
from collections import Counter
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import django
from django.conf import settings

CLIENT = "svc"
SCOPE = "api.read"
NAMES = ["token_requests", "tokens", "refreshes", "refusals", "accepted", "rejected", "reused", "revoked_grants"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lifetime", type=int, default=5)
    parser.add_argument("--secret", default="svc-pass-1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        configure(Path(directory), options.lifetime)
        records = Records(options.secret)
        issuer, api = (serve(kind, records) for kind in (Issuer, Api))
        print(json.dumps({"issuer": issuer, "api": api}), flush=True)
        sys.stdin.read()


def configure(directory: Path, lifetime: int) -> None:
    """A project of nothing but the toolkit, with a database in that directory."""
    settings.configure(
        SECRET_KEY=secrets.token_urlsafe(24),
        ALLOWED_HOSTS=["127.0.0.1"],
        USE_TZ=True,
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "oauth2_provider"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": directory / "tokens.db",
                # Several threads renew and look: whoever writes takes the database at once, and the others wait.
                "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
            }
        },
        OAUTH2_PROVIDER={
            "SCOPES": {SCOPE: "reads"},
            "ACCESS_TOKEN_EXPIRE_SECONDS": lifetime,
            "REFRESH_TOKEN_EXPIRE_SECONDS": 3600,
            "ROTATE_REFRESH_TOKEN": True,
            "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
        },
        LOGGING_CONFIG=None,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


class Records:
    """What the toolkit has in its tables, and what came of the token requests."""

    def __init__(self, secret: str) -> None:
        from django.contrib.auth.models import User
        from oauth2_provider.models import Application

        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.user = User.objects.create_user("robot")
        kind, grant = Application.CLIENT_CONFIDENTIAL, Application.GRANT_PASSWORD
        # In the clear, since a hash that is slow on purpose would be most of what is measured.
        self.application = Application.objects.create(
            name=CLIENT,
            client_id=CLIENT,
            client_secret=secret,
            hash_client_secret=False,
            client_type=kind,
            authorization_grant_type=grant,
        )

    def first_refresh_token(self) -> str:
        """With an access token that has ended, as the toolkit wants one beside it."""
        from django.utils import timezone
        from oauth2_provider.models import AccessToken, RefreshToken

        whose = {"user": self.user, "application": self.application}
        ended = timezone.now() - timedelta(seconds=1)
        access = AccessToken.objects.create(token=secrets.token_urlsafe(24), scope=SCOPE, expires=ended, **whose)
        first = {"token": secrets.token_urlsafe(24), "token_family": uuid.uuid4()}
        return RefreshToken.objects.create(access_token=access, **first, **whose).token

    def is_live(self, token: str) -> bool:
        from oauth2_provider.models import AccessToken

        checksum = hashlib.sha256(token.encode()).hexdigest()
        found = AccessToken.objects.filter(token_checksum=checksum).first()
        return found is not None and found.is_valid()

    def note_token_request(self, form: dict[str, str], succeeded: bool) -> None:
        token = form.get("refresh_token")
        with self.lock:
            self.counts["token_requests"] += 1
            self.counts["tokens" if succeeded else "refusals"] += 1
            self.counts["refreshes"] += succeeded and form.get("grant_type") == "refresh_token"
            self.counts["reused"] += token in self.seen
            if token:
                self.seen.add(token)

    def note(self, name: str) -> None:
        with self.lock:
            self.counts[name] += 1

    def told(self) -> dict[str, int]:
        """All counts. A grant is revoked when none of its refresh tokens is good any more."""
        from oauth2_provider.models import RefreshToken

        families = set(RefreshToken.objects.values_list("token_family", flat=True))
        alive = set(RefreshToken.objects.filter(revoked__isnull=True).values_list("token_family", flat=True))
        with self.lock:
            return {name: self.counts[name] for name in NAMES} | {"revoked_grants": len(families - alive)}


class Handler(BaseHTTPRequestHandler):
    """Connections persist, and the toolkit's own are closed with them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    records: Records

    def read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, body: bytes, fields: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def finish(self) -> None:
        from django.db import connection

        connection.close()
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Not on standard error, where only what fails is of use."""


class Issuer(Handler):
    """Django's view of the toolkit."""

    def do_POST(self) -> None:
        from django.test import RequestFactory
        from oauth2_provider.views import TokenView

        body = self.read()
        names = {"Authorization": "HTTP_AUTHORIZATION", "Content-Type": "CONTENT_TYPE", "Accept": "HTTP_ACCEPT"}
        meta = {place: self.headers[name] for name, place in names.items() if name in self.headers}
        request = RequestFactory().generic("POST", self.path, body, meta.pop("CONTENT_TYPE", ""), **meta)
        response = TokenView.as_view()(request)
        self.records.note_token_request(dict(urllib.parse.parse_qsl(body.decode())), response.status_code == 200)
        self.answer(response.status_code, response.content, dict(response.items()))


class Api(Handler):
    """What the tokens are for, and the test's own requests."""

    def do_GET(self) -> None:
        self.read()
        if self.path == "/counts":
            self.json(200, self.records.told())
            return
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.records.is_live(token):
            self.records.note("accepted")
            self.json(200, {"target": self.path})
        else:
            self.records.note("rejected")
            self.json(401, {"detail": "token not accepted"}, {"WWW-Authenticate": 'Bearer error="invalid_token"'})

    def do_POST(self) -> None:
        self.read()
        self.json(200, {"refresh_token": self.records.first_refresh_token()})

    def json(self, status: int, value: object, fields: dict[str, str] | None = None) -> None:
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | (fields or {}))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def serve(kind: type[Handler], records: Records) -> str:
    """Where it listens."""
    server = Server(("127.0.0.1", 0), type(kind.__name__, (kind,), {"records": records}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "127.0.0.1:{}".format(server.server_address[1])


# There is no page: the one view is called by `Issuer`.
urlpatterns: list[object] = []

if __name__ == "__main__":
    main()
