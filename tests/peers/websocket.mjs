// WebSocket over HTTP/2 (RFC 8441) with Node's own HTTP/2 at either end; talks to websocket.py as well.
//
//   websocket.mjs server [WORD...]       prints its port; rejects the first token it sees, as if it had been revoked
//     silent        does not announce extended CONNECT
//     tls=KEY,CERT  TLS with HTTP/2 and HTTP/1.1 by ALPN
//   websocket.mjs client URL             does all that a WebSocket can, prints "ok"
import http2 from "node:http2";
import fs from "node:fs";
import { createHash } from "node:crypto";
import { once } from "node:events";

const [, , role, ...rest] = process.argv;
const [TEXT, BINARY, CLOSE, PING, PONG] = [1, 2, 8, 9, 10];
const CANCEL = http2.constants.NGHTTP2_CANCEL;

function check(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

// ---- Frames (RFC 6455 §5) ---------------------------------------------------------------------------------------------

function frame(kind, payload, masked) {
  const body = Buffer.from(payload);
  const mask = masked ? Buffer.from([1, 2, 3, 4]) : Buffer.alloc(0);
  let head;
  if (body.length < 126) {
    head = Buffer.from([0x80 | kind, body.length]);
  } else if (body.length < 65536) {
    head = Buffer.from([0x80 | kind, 126, body.length >> 8, body.length & 255]);
  } else {
    head = Buffer.alloc(10);
    head.set([0x80 | kind, 127]);
    head.writeBigUInt64BE(BigInt(body.length), 2);
  }
  if (masked) {
    head[1] |= 0x80;
    body.forEach((byte, n) => (body[n] = byte ^ mask[n & 3]));
  }
  return Buffer.concat([head, mask, body]);
}

// Whole messages and control frames as they come: [kind, payload].
async function* messages(stream) {
  let held = Buffer.alloc(0);
  let parts = [];
  let kind = 0;
  for await (const piece of stream) {
    held = Buffer.concat([held, piece]);
    for (;;) {
      if (held.length < 2) break;
      const short = held[1] & 127;
      const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
      const masked = held[1] >> 7 ? 4 : 0;
      const start = 2 + extra + masked;
      if (held.length < start) break;
      const length = extra === 0 ? short : Number(`0x${held.subarray(2, 2 + extra).toString("hex")}`);
      if (held.length < start + length) break;
      const payload = Buffer.from(held.subarray(start, start + length));
      if (masked) payload.forEach((byte, n) => (payload[n] = byte ^ held[start - 4 + (n & 3)]));
      const [final, code] = [held[0] >> 7, held[0] & 15];
      held = held.subarray(start + length);
      if (code >= CLOSE) {
        yield [code, payload];
        continue;
      }
      kind ||= code;
      parts.push(payload);
      if (!final) continue;
      yield [kind, Buffer.concat(parts)];
      [kind, parts] = [0, []];
    }
  }
}

// ---- The server -------------------------------------------------------------------------------------------------------

const ends = [];
let rejected;

function isRejected(token) {
  rejected ??= token;
  return !token?.startsWith("Bearer ") || token === rejected;
}

async function talk(stream) {
  for await (const [kind, payload] of messages(stream)) {
    if (kind === PING) stream.write(frame(PONG, payload));
    else if (kind === PONG) continue;
    else if (kind === CLOSE) return stream.end(frame(CLOSE, payload));
    else if (payload.equals(Buffer.from("close"))) {
      stream.write(frame(CLOSE, Buffer.concat([Buffer.from([4321 >> 8, 4321 & 255]), Buffer.from("as you wish")])));
    } else if (!stream.write(frame(kind, payload))) await once(stream, "drain");
  }
  stream.end();
}

function serveStream(stream, headers) {
  stream.on("error", () => {});
  const path = headers[":path"];
  if (path === "/ends") {
    stream.respond({ ":status": 200 });
    return stream.end(JSON.stringify(ends));
  }
  if (isRejected(headers.authorization)) {
    stream.respond({ ":status": 401, "www-authenticate": 'Bearer error="invalid_token"' });
    return stream.end("token not accepted");
  }
  const names = Object.keys(headers).filter((name) => /^(sec-websocket-key|sec-websocket-accept|upgrade|connection|host|content-length)$/.test(name));
  if (headers[":method"] !== "CONNECT" || headers[":protocol"] !== "websocket" || names.length > 0) {
    stream.respond({ ":status": 400 });
    return stream.end(`${headers[":method"]} ${headers[":protocol"]} ${names}`);
  }
  if (path === "/forbidden") {
    stream.respond({ ":status": 403, "x-from": "upstream" });
    return stream.end("not you");
  }
  stream.once("close", () => ends.push(stream.rstCode));
  const offered = headers["sec-websocket-protocol"];
  stream.respond({ ":status": 200, "x-http": "2", ...(offered && { "sec-websocket-protocol": "chat" }) });
  // Node ends a stream before it resets it, unless there is something left to send.
  if (path === "/reset") return stream.once("data", () => stream.write(Buffer.alloc(4 << 20)) || stream.close(CANCEL));
  // Takes nothing.
  if (path === "/stall") return undefined;
  return talk(stream).catch(() => stream.close(CANCEL));
}

function serveUpgrade(request, socket) {
  if (isRejected(request.headers.authorization)) {
    return socket.end("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
  }
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = createHash("sha1").update(key).digest("base64");
  const protocol = request.headers["sec-websocket-protocol"] ? "Sec-WebSocket-Protocol: chat\r\n" : "";
  socket.write(`HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\nX-HTTP: 1\r\n${protocol}\r\n`);
  return talk(socket).catch(() => socket.destroy());
}

function serve() {
  const settings = { enableConnectProtocol: !rest.includes("silent") };
  const [key, cert] = rest.find((word) => word.startsWith("tls="))?.slice(4).split(",") ?? [];
  const secure = key && { allowHTTP1: true, key: fs.readFileSync(key), cert: fs.readFileSync(cert) };
  const server = key ? http2.createSecureServer({ settings, ...secure }) : http2.createServer({ settings });
  server.on("stream", serveStream);
  server.on("upgrade", serveUpgrade);
  server.on("session", (session) => session.on("error", () => {}));
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
}

// ---- The client -------------------------------------------------------------------------------------------------------

async function open(session, path, headers = {}) {
  const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": path, "sec-websocket-version": "13", ...headers }, { endStream: false });
  const [answer] = await once(stream, "response");
  return [stream, answer];
}

async function client(base) {
  const session = http2.connect(base);
  const [settings] = await once(session, "remoteSettings");
  check(settings.enableConnectProtocol, "extended CONNECT is announced");
  const [one, answer] = await open(session, "/chat?room=1", { "sec-websocket-protocol": "chat" });
  check(answer[":status"] === 200, answer[":status"]);
  check(answer["sec-websocket-protocol"] === "chat", "the subprotocol");
  check(!("sec-websocket-accept" in answer) && !("upgrade" in answer), JSON.stringify(answer));
  const heard = messages(one);
  const hear = async () => (await heard.next()).value;
  const all = [[TEXT, "text"], [BINARY, Buffer.from([0, 255, 128])], [TEXT, "x".repeat(1 << 20)], [BINARY, Buffer.alloc(3 << 20, 7)]];
  for (const [kind, payload] of all) {
    one.write(frame(kind, payload, true));
    const [heardKind, heardPayload] = await hear();
    check(heardKind === kind && heardPayload.equals(Buffer.from(payload)), `echo of ${payload.length}`);
  }
  one.write(frame(PING, "are you there", true));
  const [pong, same] = await hear();
  check(pong === PONG && same.equals(Buffer.from("are you there")), "pong");
  // Another on the same connection, many messages at once.
  const [other] = await open(session, "/chat");
  for (let n = 0; n < 200; n++) other.write(frame(TEXT, String(n), true));
  let count = 0;
  for await (const [, payload] of messages(other)) {
    check(payload.equals(Buffer.from(String(count))), `${payload} is not ${count}`);
    if (++count === 200) break;
  }
  one.write(frame(TEXT, "close", true));
  const [kind, payload] = await hear();
  check(kind === CLOSE && payload.readUInt16BE(0) === 4321, `${kind} ${payload}`);
  one.write(frame(CLOSE, payload, true));
  one.end();
  const last = await heard.next();
  check(last.done || last.value[0] === CLOSE, "the end");
  console.log("ok");
  process.exit(0);
}

if (role === "server") serve();
else {
  client(rest[0]).catch((error) => {
    console.error(error);
    process.exit(1);
  });
}
