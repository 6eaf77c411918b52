"""A gRPC server and a client of grpcio, with all four kinds of calls. Messages are plain bytes, so no compiler is needed.

    grpc_calls.py server [revoked]   prints its port; with "revoked" the first token it sees is refused with UNAUTHENTICATED
    grpc_calls.py client ADDRESS CASE
"""

import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "bearerd.Test"
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.so_reuseport", 0)]


class Tokens(grpc.ServerInterceptor):
    """Refuses calls without a token, and with the first one seen if that counts as revoked."""

    def __init__(self, revoked):
        self.revoked = revoked
        self.rejected = None

    def intercept_service(self, continuation, details):
        token = dict(details.invocation_metadata).get("authorization")
        if self.revoked and self.rejected is None:
            self.rejected = token
        if not token or token == self.rejected:
            def refuse(request, context):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "token not accepted")
            handler = continuation(details)
            kinds = {
                (False, False): grpc.unary_unary_rpc_method_handler,
                (False, True): grpc.unary_stream_rpc_method_handler,
                (True, False): grpc.stream_unary_rpc_method_handler,
                (True, True): grpc.stream_stream_rpc_method_handler,
            }
            return kinds[handler.request_streaming, handler.response_streaming](refuse)
        return continuation(details)


class Calls:
    def __init__(self):
        self.ends = []

    def unary(self, request, context):
        metadata = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-initial", metadata.get("x-said", ""))])
        context.set_trailing_metadata([("x-trailing", str(len(request))), ("x-data-bin", b"\0\xff")])
        return request

    def server_stream(self, request, context):
        for n in range(int(request)):
            yield b"x" * 1000 + str(n).encode()

    def client_stream(self, requests, context):
        return str(sum(len(request) for request in requests)).encode()

    def both(self, requests, context):
        for request in requests:
            yield request

    def fail(self, request, context):
        context.set_trailing_metadata([("x-trailing", "of a failure")])
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no, ünless…")

    def half(self, request, context):
        yield b"one"
        context.abort(grpc.StatusCode.ABORTED, "half way")

    def hang(self, request, context):
        began, ended = time.monotonic(), threading.Event()
        remaining = context.time_remaining()
        context.add_callback(ended.set)
        ended.wait(20)
        self.ends.append(f"{remaining is not None and remaining < 10} {time.monotonic() - began < 5}")
        return b""

    def told(self, request, context):
        return " ".join(self.ends).encode()


def serve(revoked):
    calls = Calls()
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(calls.unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(calls.server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(calls.client_stream),
        "Both": grpc.stream_stream_rpc_method_handler(calls.both),
        "Fail": grpc.unary_unary_rpc_method_handler(calls.fail),
        "Half": grpc.unary_stream_rpc_method_handler(calls.half),
        "Hang": grpc.unary_unary_rpc_method_handler(calls.hang),
        "Told": grpc.unary_unary_rpc_method_handler(calls.told),
    }
    server = grpc.server(futures.ThreadPoolExecutor(32), interceptors=[Tokens(revoked)], options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


class Client:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=OPTIONS)

    def method(self, kind, name):
        return getattr(self.channel, kind)(f"/{SERVICE}/{name}")

    def unary(self):
        said = [("x-said", "hello"), ("authorization", "Bearer mine")]
        answer, call = self.method("unary_unary", "Unary").with_call(b"m" * 100_000, metadata=said, timeout=20)
        assert answer == b"m" * 100_000
        assert dict(call.initial_metadata())["x-initial"] == "hello", call.initial_metadata()
        trailing = dict(call.trailing_metadata())
        assert (trailing["x-trailing"], trailing["x-data-bin"]) == ("100000", b"\0\xff"), trailing

    def unary_small(self):
        assert self.method("unary_unary", "Unary")(b"small", timeout=20) == b"small"

    def server_stream(self):
        answers = list(self.method("unary_stream", "ServerStream")(b"2000", timeout=20))
        assert answers == [b"x" * 1000 + str(n).encode() for n in range(2000)], len(answers)

    def client_stream_small(self):
        messages = (b"y" * 1_000 for _ in range(30))
        assert self.method("stream_unary", "ClientStream")(messages, timeout=20) == b"30000"

    def client_stream(self):
        messages = (b"y" * 10_000 for _ in range(300))
        assert self.method("stream_unary", "ClientStream")(messages, timeout=20) == b"3000000"

    def both(self):
        # The next message is sent when the last one has come back.
        came = threading.Semaphore(1)
        def messages():
            for n in range(100):
                assert came.acquire(timeout=10)
                yield b"message %d" % n
        count = 0
        for answer in self.method("stream_stream", "Both")(messages(), timeout=20):
            assert answer == b"message %d" % count, answer
            count += 1
            came.release()
        assert count == 100, count

    def conversation(self):
        """Says numbers and hears them again, until standard input ends."""
        over, said = threading.Event(), 0
        threading.Thread(target=lambda: sys.stdin.read() or over.set(), daemon=True).start()

        def messages():
            nonlocal said
            while not over.wait(0.02):
                said += 1
                yield b"%d" % said

        heard = 0
        for answer in self.method("stream_stream", "Both")(messages()):
            heard += 1
            assert answer == b"%d" % heard, (answer, heard)
            if heard == 1:
                print("begun", flush=True)
        assert heard == said, (heard, said)
        print(heard)

    def failures(self):
        error = self.error("Fail")
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "no, ünless…", error
        assert dict(error.trailing_metadata())["x-trailing"] == "of a failure"
        answers = self.method("unary_stream", "Half")(b"", timeout=20)
        assert next(answers) == b"one"
        try:
            next(answers)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "half way"), error

    def ends(self):
        error = self.error("Hang", timeout=1)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        cancelled = self.method("unary_unary", "Hang").future(b"", timeout=9)
        time.sleep(0.5)
        cancelled.cancel()
        told, until = b"", time.monotonic() + 5
        while told != b"True True True True" and time.monotonic() < until:
            time.sleep(0.05)
            told = self.method("unary_unary", "Told")(b"", timeout=20)
        assert told == b"True True True True", told

    def own_error(self, code, text):
        error = self.error("Unary")
        assert error.code().name == code and text in error.details(), error

    def error(self, name, timeout=20):
        try:
            self.method("unary_unary", name)(b"", timeout=timeout)
        except grpc.RpcError as error:
            return error
        raise AssertionError("no error")


if sys.argv[1] == "server":
    serve("revoked" in sys.argv)
else:
    getattr(Client(sys.argv[2]), sys.argv[3])(*sys.argv[4:])
    print("ok")
