"""An upstream that reads HTTP/1.1 with h11, which forgives nothing, and remembers what it saw.

    strict.py      prints its port; answers every whole request with 200

`GET /.seen`, asked directly, is answered with what came: `requests`, a list of [method, target, length of the body], and
`errors`, what h11 said of bytes that it would not read. A request that breaks off is neither.
"""

import json
import socketserver
import threading

import h11

seen = {"requests": [], "errors": []}
lock = threading.Lock()


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        connection = h11.Connection(h11.SERVER)
        while self.exchange(connection):
            connection.start_next_cycle()

    def exchange(self, connection):
        """Reads one request and answers it; whether another may follow."""
        request, length = None, 0
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                if not connection.their_state == h11.ERROR or self.broken_off:
                    return False
                with lock:
                    seen["errors"].append(f"{error}: {request}")
                return False
            if event is h11.NEED_DATA:
                data = self.receive()
                self.broken_off = not data
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                length += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return self.answer(connection, request, length)
            else:
                return False

    broken_off = False

    def receive(self):
        try:
            return self.request.recv(65536)
        except OSError:
            return b""

    def answer(self, connection, request, length):
        target = request.target.decode("latin-1")
        body = b"ok"
        with lock:
            if target == "/.seen":
                body = json.dumps(seen).encode()
            else:
                seen["requests"].append([request.method.decode(), target, length])
        head = h11.Response(status_code=200, headers=[("Content-Length", str(len(body)))])
        events = [head] if request.method == b"HEAD" else [head, h11.Data(data=body)]
        try:
            for event in [*events, h11.EndOfMessage()]:
                self.request.sendall(connection.send(event) or b"")
        except OSError:
            return False
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
