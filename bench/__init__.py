"""What bearerd costs, beside nginx, HAProxy, Envoy and no proxy at all. Run: bench/run"""
