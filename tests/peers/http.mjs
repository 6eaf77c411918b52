// A server and a client of Node's own, for HTTP/1 and HTTP/2 without TLS.
//
//   http.mjs server h1|h2 [revoked]   prints its port; with "revoked" the first token it sees is rejected
//   http.mjs client h1|h2 URL CASE    does one of the cases below, prints "ok"
import http from "node:http";
import http2 from "node:http2";
import { createHash } from "node:crypto";
import { once } from "node:events";

const [, , role, version, ...rest] = process.argv;
const MEGABYTE = Buffer.alloc(1 << 20, "0123456789abcdef");

// ---- The server -------------------------------------------------------------------------------------------------------

let rejected = rest[0] === "revoked" ? undefined : null;
const sessions = new Set();
const ends = [];
let refusals = 0;
let most = 0;
let open = 0;

async function answer(request, response) {
  const url = new URL(request.url, "http://server");
  const token = request.headers.authorization;
  if (rejected === undefined) rejected = token;
  if (!token?.startsWith("Bearer ") || token === rejected) {
    response.writeHead(401, { "www-authenticate": 'Bearer error="invalid_token"' });
    return response.end("token not accepted");
  }
  const paths = { "/small": small, "/up": up, "/down": down, "/both": both, "/hang": hang, "/ends": told, "/break": breakOff };
  Object.assign(paths, { "/stall": stall, "/refuse": refuse, "/goaway": goaway, "/early": early, "/slow": slow });
  await (paths[url.pathname] ?? small)(request, response, url);
}

// What came, as JSON.
async function small(request, response) {
  const body = [];
  for await (const piece of request) body.push(piece);
  const { headers, method, url, httpVersion } = request;
  const authority = request.authority ?? headers.host;
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({
    method, url, httpVersion, headers, authority, raw: request.rawHeaders, body: Buffer.concat(body).toString(),
    trailers: request.trailers, sessions: sessions.size, most,
  }));
}

async function up(request, response) {
  const [hash, length] = await digest(request);
  response.end(JSON.stringify({ hash, length }));
}

async function down(request, response, url) {
  const size = Number(url.searchParams.get("megabytes"));
  response.writeHead(200, { trailer: "x-sum" });
  const hash = createHash("sha256");
  for (let n = 0; n < size; n++) {
    hash.update(MEGABYTE);
    if (!response.write(MEGABYTE)) await once(response, "drain");
  }
  response.addTrailers({ "x-sum": hash.digest("hex") });
  response.end();
}

// Everything back as it comes.
async function both(request, response) {
  response.writeHead(200, { trailer: "x-count" });
  response.flushHeaders?.();
  let count = 0;
  for await (const piece of request) {
    count += piece.length;
    if (!response.write(piece)) await once(response, "drain");
  }
  response.addTrailers({ "x-count": String(count) });
  response.end();
}

// Never answers; remembers how it was ended.
function hang(request, response) {
  request.resume();
  const stream = request.stream ?? request.socket;
  stream.once("close", () => ends.push(stream.rstCode ?? "closed"));
}

// Begins its answer and takes nothing of the request; remembers how it was ended.
function stall(request, response) {
  response.writeHead(200);
  response.write("begun");
  request.stream.once("close", () => ends.push(request.stream.rstCode));
}

function told(request, response) {
  response.end(JSON.stringify(ends));
}

function breakOff(request, response) {
  response.write("some of it");
  setTimeout(() => (request.stream ? request.stream.close(http2.constants.NGHTTP2_CANCEL) : request.socket.destroy()), 50);
}

// Refuses every first try.
function refuse(request, response, url) {
  if (refusals++ % 2 === 0) return request.stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  return small(request, response);
}

// Lets what is under way end and wants no more on this connection.
function goaway(request, response) {
  const { session } = request.stream;
  setTimeout(() => response.end(JSON.stringify({ sessions: sessions.size })), 200);
  session.goaway(0, request.stream.id);
  setTimeout(() => session.close(), 400);
}

// Interim answers without end.
function flood(response) {
  for (let n = 0; n < 200; n++) response.stream.additionalHeaders({ ":status": 102 });
}

// Answers whole without looking at the body.
function early(request, response) {
  response.end("early");
}

async function slow(request, response) {
  open += 1;
  most = Math.max(most, open);
  await new Promise((done) => setTimeout(done, 300));
  open -= 1;
  response.end(JSON.stringify({ sessions: sessions.size, most }));
}

async function digest(stream) {
  const hash = createHash("sha256");
  let length = 0;
  for await (const piece of stream) {
    hash.update(piece);
    length += piece.length;
  }
  return [hash.digest("hex"), length];
}

async function serve() {
  const limit = rest.find((word) => word.startsWith("streams="))?.slice(8);
  const settings = limit ? { maxConcurrentStreams: Number(limit) } : {};
  const handle = (request, response) => {
    request.on("error", () => {});
    response.on("error", () => {});
    answer(request, response).catch(() => request.stream?.close() ?? request.socket.destroy());
  };
  // Asks for a body only if the token is good, which Node by itself would not.
  const expected = (request, response) => {
    const token = request.headers.authorization;
    if (rejected === undefined) rejected = token;
    if (request.url === "/floods") return flood(response);
    if (request.url !== "/silent" && token !== rejected) response.writeContinue();
    return handle(request, response);
  };
  const server = version === "h2" ? http2.createServer({ settings }, handle) : http.createServer(handle);
  server.on("checkContinue", expected);
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
}

// ---- The client -------------------------------------------------------------------------------------------------------

function check(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

// One exchange: a stream to write to, and a promise of { status, headers, body stream, trailers }.
function begin(base, method, path, headers = {}) {
  if (version === "h2") {
    const session = (begin.session ??= http2.connect(base));
    const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream: false });
    const trailers = once(stream, "trailers").then(([fields]) => fields, () => ({}));
    const answered = once(stream, "response").then(([fields]) => ({ status: fields[":status"], headers: fields, body: stream, trailers }));
    return [stream, answered];
  }
  const request = http.request(base + path, { method, headers: { te: "trailers", connection: "te", ...headers } });
  const answered = once(request, "response").then(([response]) => ({
    status: response.statusCode, headers: response.headers, body: response,
    trailers: once(response, "end").then(() => response.trailers),
  }));
  return [request, answered];
}

async function json(answered) {
  const { status, body } = await answered;
  let text = "";
  for await (const piece of body) text += piece;
  check(status === 200, `${status} ${text}`);
  return JSON.parse(text);
}

const cases = {
  async small(base) {
    let [request, answered] = begin(base, "GET", "/small?x=1");
    request.end();
    const got = await json(answered);
    check(got.method === "GET" && got.url === "/small?x=1" && got.body === "", JSON.stringify(got));
    [request, answered] = begin(base, "POST", "/small", { "content-length": "5" });
    request.end("hello");
    check((await json(answered)).body === "hello", "post");
  },
  async up(base) {
    const [request, answered] = begin(base, "PUT", "/up");
    const hash = createHash("sha256");
    for (let n = 0; n < 20; n++) {
      hash.update(MEGABYTE);
      if (!request.write(MEGABYTE)) await once(request, "drain");
    }
    request.end();
    const got = await json(answered);
    check(got.length === 20 << 20 && got.hash === hash.digest("hex"), JSON.stringify(got));
  },
  async down(base) {
    const [request, answered] = begin(base, "GET", "/down?megabytes=20");
    request.end();
    const { status, body, trailers } = await answered;
    check(status === 200, status);
    const [hash, length] = await digest(body);
    check(length === 20 << 20, length);
    check((await trailers)["x-sum"] === hash, JSON.stringify(await trailers));
  },
  // Each message is answered before the next is sent: nothing may wait for more on its way.
  async both(base, headers = {}) {
    const [request, answered] = begin(base, "POST", "/both", headers);
    request.write("message 0;");
    const { status, body, trailers } = await answered;
    check(status === 200, status);
    const pieces = body[Symbol.asyncIterator]();
    for (let n = 0, heard = ""; n < 50; n++) {
      while (!heard.endsWith(`message ${n};`)) {
        const { value, done } = await pieces.next();
        check(!done, `more than ${heard}`);
        heard += value;
      }
      if (n < 49) request.write(`message ${n + 1};`);
    }
    request.end();
    check((await pieces.next()).done, "the end");
    check(Number((await trailers)["x-count"]) > 400, JSON.stringify(await trailers));
  },
  grpc: (base) => cases.both(base, { "content-type": "application/grpc" }),
};

async function main() {
  if (role === "server") return serve();
  const [base, name] = rest;
  await cases[name](base);
  console.log("ok");
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
