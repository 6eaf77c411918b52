"""The contenders: for each proxy its configuration, how it starts, and what was set beside its defaults and why."""

from __future__ import annotations

from . import bearerd, direct, envoy, haproxy, nginx
from .proxy import Place, Proxy

ALL: dict[str, Proxy] = {
    proxy.name: proxy for proxy in (bearerd.Bearerd(), nginx.Nginx(), haproxy.HAProxy(), envoy.Envoy(), direct.Direct())
}

__all__ = ["ALL", "Place", "Proxy"]
