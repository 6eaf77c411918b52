"""Envoy, whose credential injector fetches tokens with client credentials: the nearest relative."""

from __future__ import annotations

import json
from typing import Any

from ..servers import Launch
from ..world import Protocol, Setup, is_h2, is_tls
from .proxy import Place, lacks_what_is_bearerds

TYPE = "type.googleapis.com/envoy.extensions."
MANAGER = TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager"
INJECTOR = TYPE + "filters.http.credential_injector.v3.CredentialInjector"
OAUTH2 = TYPE + "http.injected_credentials.oauth2.v3.OAuth2"
ROUTER = TYPE + "filters.http.router.v3.Router"
CALLERS_TLS = TYPE + "transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM_TLS = TYPE + "transport_sockets.tls.v3.UpstreamTlsContext"
HTTP_OPTIONS = TYPE + "upstreams.http.v3.HttpProtocolOptions"


class Envoy:
    """C++, threads; fetches and renews tokens, replays nothing."""

    name = "envoy"
    settings: tuple[tuple[str, str], ...] = (
        ("credential_injector with oauth2, client credentials", "does half of what bearerd does: a rejected token is not replaced"),
        ("--concurrency cores", "as for every proxy"),
        ("no access log, no admin listener, --log-level error", "no proxy here writes a log"),
        ("circuit breakers at 10⁵", "its defaults (1,024 connections and requests) would refuse some of the load"),
        ("TLS 1.3 to the upstream", "its default is 1.2; all others use 1.3, with the one cipher that the upstream offers"),
        ("route timeout 0", "its default of 15 s would end large transfers on slow machines"),
        ("statistics on", "its default, as bearerd's metrics are"),
    )

    def lacks(self, setup: Setup) -> str | None:
        """Only what is bearerd's."""
        return lacks_what_is_bearerds(setup)

    def launch(self, setup: Setup, place: Place) -> Launch:
        """One process, without the hot restart that needs shared memory."""
        path = place.write("envoy.json", json.dumps(self._configuration(setup, place), indent=1))
        command = [place.world.binaries["envoy"], "-c", str(path), "--concurrency", str(setup.workers)]
        command += ["--disable-hot-restart", "--log-level", "error"]
        return Launch(command, place.port, place.directory / "envoy.log")

    def _configuration(self, setup: Setup, place: Place) -> dict[str, Any]:
        secret = {"name": "client", "generic_secret": {"secret": {"inline_string": "bench-secret"}}}
        clusters = [
            self._cluster("api", place.world.upstream_port(setup), setup.upstream, place),
            self._cluster("token", place.world.token_port(setup), "http1", place),
        ]
        return {"static_resources": {"listeners": [self._listener(setup, place)], "clusters": clusters, "secrets": [secret]}}

    def _listener(self, setup: Setup, place: Place) -> dict[str, Any]:
        chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": self._manager(setup, place)}]}
        if is_tls(setup.caller):
            files = place.world.certificates
            shown = {"certificate_chain": {"filename": str(files.certificate)}, "private_key": {"filename": str(files.key)}}
            protocols = ["h2"] if is_h2(setup.caller) else ["http/1.1"]
            context = {"@type": CALLERS_TLS, "common_tls_context": {"tls_certificates": [shown], "alpn_protocols": protocols}}
            chain["transport_socket"] = {"name": "tls", "typed_config": context}
        return {"name": "callers", "address": _address(place.port), "filter_chains": [chain]}

    def _manager(self, setup: Setup, place: Place) -> dict[str, Any]:
        route = {"match": {"prefix": "/"}, "route": {"cluster": "api", "timeout": "0s"}}
        hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
        return {
            "@type": MANAGER,
            "stat_prefix": "callers",
            "route_config": {"virtual_hosts": hosts},
            "http_filters": [
                {"name": "token", "typed_config": {"@type": INJECTOR, "overwrite": True, "credential": self._credential(setup, place)}},
                {"name": "router", "typed_config": {"@type": ROUTER}},
            ],
        }

    def _credential(self, setup: Setup, place: Place) -> dict[str, Any]:
        life = "short" if setup.renewing else "long"
        uri = f"http://127.0.0.1:{place.world.token_port(setup)}/{life}/{place.label}"
        client = {"client_id": "bench", "client_secret": {"name": "client"}}
        endpoint = {"cluster": "token", "timeout": "5s", "uri": uri}
        return {
            "name": "envoy.http.injected_credentials.oauth2",
            "typed_config": {"@type": OAUTH2, "token_endpoint": endpoint, "client_credentials": client},
        }

    def _cluster(self, name: str, port: int, protocol: Protocol, place: Place) -> dict[str, Any]:
        version: dict[str, Any] = {"http2_protocol_options": {}} if is_h2(protocol) else {"http_protocol_options": {}}
        limits = {key: 100_000 for key in ("max_connections", "max_pending_requests", "max_requests")}
        cluster: dict[str, Any] = {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [limits]},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": HTTP_OPTIONS, "explicit_http_config": version}
            },
        }
        if is_tls(protocol):
            names = [{"san_type": "DNS", "matcher": {"exact": "localhost"}}]
            check = {"trusted_ca": {"filename": str(place.world.certificates.ca)}, "match_typed_subject_alt_names": names}
            protocols = ["h2"] if is_h2(protocol) else ["http/1.1"]
            newest = {"tls_maximum_protocol_version": "TLSv1_3"}
            context = {"validation_context": check, "alpn_protocols": protocols, "tls_params": newest}
            cluster["transport_socket"] = {"name": "tls", "typed_config": {"@type": UPSTREAM_TLS, "common_tls_context": context}}
        return cluster


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
