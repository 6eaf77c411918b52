// An API and its token endpoint that revokes tokens: `node revoking.mjs PORT BODY`.
//
// POST /long/WHO hands WHO a token. GET answers with BODY for WHO's current token and 401 for any other; after every
// REVOKE_AFTER accepted requests that token is revoked. GET /steady accepts any token. Node, because token endpoint and API
// must share what is valid.
import { createServer } from 'node:http';
import { randomBytes } from 'node:crypto';

// More than what it can answer within a second, which is the least time between two token requests of bearerd.
const REVOKE_AFTER = 20_000;
const [port, body] = process.argv.slice(2);
const current = new Map();

function token(request, response) {
  const who = request.url.split('/').at(-1);
  const value = `${who}.${randomBytes(16).toString('hex')}`;
  current.set(who, { value, accepted: 0 });
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ access_token: value, token_type: 'Bearer', expires_in: 3600 }));
}

function api(request, response) {
  const value = (request.headers.authorization ?? '').slice('Bearer '.length);
  const known = current.get(value.split('.')[0]);
  if (request.url !== '/steady' && known?.value !== value) {
    response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"', 'content-length': 0 }).end();
    return;
  }
  if (request.url !== '/steady' && ++known.accepted >= REVOKE_AFTER) known.value = null;
  response.setHeader('content-length', body.length);
  response.end(body);
}

const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  request.resume();
  (request.method === 'POST' ? token : api)(request, response);
});
server.listen(Number(port), '127.0.0.1', 4096);
