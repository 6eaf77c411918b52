"""An upstream made of Python's http.server, as a person writes one in five minutes.

    plain.py HTTP/1.0|HTTP/1.1      prints its port; rejects the first token that it sees
"""

import http.server
import json
import sys

rejected = None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = sys.argv[1]

    def do_GET(self):
        self.answer(json.dumps({"target": self.path}).encode())

    do_HEAD = do_GET

    def do_POST(self):
        if "content-length" not in self.headers:
            self.close_connection = True
            self.send(411, b"no length\n")
            return
        body = self.rfile.read(int(self.headers["content-length"]))
        self.answer(body if self.path == "/echo" else json.dumps({"length": len(body)}).encode())

    def answer(self, body):
        global rejected
        token = self.headers.get("authorization", "")
        rejected = rejected or token
        if not token.startswith("Bearer ") or token == rejected:
            self.send(401, b"token not accepted\n")
        else:
            self.send(200, body)

    def send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
