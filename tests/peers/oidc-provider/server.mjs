// A real authorization server (npm oidc-provider) and an API that asks it about every token that comes.
//
//   node server.mjs --lifetime=5 --secret=svc-canary-secret-1
//
// With --dpop both want DPoP (RFC 9449) with nonces: the server by the library's own means, the API by panva's jose and a nonce of its
// own that changes twice a second.
//
// Its first line names both addresses: {"issuer":"127.0.0.1:40001","api":"127.0.0.1:40002"}. The API answers 200 to
// a live token and 401 to any other; GET /counts tells what happened so far, POST /revoke takes back every token
// through the server's own revocation endpoint (RFC 7009).
import { createHash, randomBytes } from 'node:crypto';
import { createServer, request } from 'node:http';
import { parseArgs } from 'node:util';

import { EmbeddedJWK, calculateJwkThumbprint, jwtVerify } from 'jose';
import Provider from 'oidc-provider';

const { values: options } = parseArgs({
  options: {
    lifetime: { type: 'string', default: '5' },
    secret: { type: 'string', default: 'svc-pass-1' },
    user: { type: 'string', default: 'robot' },
    password: { type: 'string', default: 'robot-canary-pw' },
    dpop: { type: 'boolean', default: false },
  },
});
const lifetime = Number(options.lifetime);
const counts = { token_requests: 0, tokens: 0, refreshes: 0, passwords: 0, refusals: 0, accepted: 0, rejected: 0 };
Object.assign(counts, { nonces_wanted: 0, bad_proofs: 0 });
const issued = [];
const used = new Set();

const listen = (handler) =>
  new Promise((resolve) => {
    const server = createServer(handler);
    server.keepAliveTimeout = 60_000;
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => resolve(server));
  });
const addressOf = (server) => `127.0.0.1:${server.address().port}`;

let provider;
let handle = (req, res) => res.writeHead(503).end();
const issuerServer = await listen((req, res) => {
  if (req.method === 'POST' && req.url === '/token') counts.token_requests += 1;
  handle(req, res);
});
const issuer = addressOf(issuerServer);

provider = new Provider(`http://${issuer}`, {
  clients: [
    {
      client_id: 'svc',
      client_secret: options.secret,
      grant_types: ['client_credentials', 'password', 'refresh_token'],
      redirect_uris: [],
      response_types: [],
      scope: 'api.read offline_access',
      dpop_bound_access_tokens: options.dpop,
    },
  ],
  scopes: ['api.read', 'offline_access'],
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => options.dpop },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  // Single use, as RFC 9700 wants it: a refresh token that comes twice ends the whole grant.
  rotateRefreshToken: true,
  ttl: { ClientCredentials: lifetime, AccessToken: lifetime, RefreshToken: 3600, Grant: 3600 },
});

const keep = (token) => issued.push(token);
provider.on('client_credentials.saved', (token) => keep(token));
provider.on('access_token.saved', (token) => keep(token));
provider.on('grant.success', (ctx) => {
  counts.tokens += 1;
  if (ctx.oidc.params.grant_type === 'refresh_token') counts.refreshes += 1;
});
provider.on('grant.error', () => {
  counts.refusals += 1;
});

// RFC 6749 §4.3, which the library leaves to those who still need it.
provider.registerGrantType(
  'password',
  async (ctx) => {
    counts.passwords += 1;
    const { client, params } = ctx.oidc;
    if (params.username !== options.user || params.password !== options.password) {
      ctx.status = 400;
      ctx.body = { error: 'invalid_grant', error_description: 'wrong user name or password' };
      return;
    }
    const grant = new provider.Grant({ clientId: client.clientId, accountId: params.username });
    grant.addOIDCScope(params.scope ?? '');
    const grantId = await grant.save();
    const common = { accountId: params.username, client, grantId, scope: params.scope, gty: 'password' };
    const access = new provider.AccessToken(common);
    const value = await access.save();
    const body = { access_token: value, expires_in: access.expiration, token_type: 'Bearer', scope: params.scope };
    if ((params.scope ?? '').split(' ').includes('offline_access')) {
      body.refresh_token = await new provider.RefreshToken({ ...common, rotations: 0 }).save();
    }
    ctx.body = body;
  },
  ['username', 'password', 'scope'],
  [],
);
handle = provider.callback();

async function isLive(token) {
  if (!token) return false;
  const found = (await provider.ClientCredentials.find(token)) ?? (await provider.AccessToken.find(token));
  return found !== undefined && found.isValid;
}

function revoke(token) {
  const basic = `${encodeURIComponent('svc')}:${encodeURIComponent(options.secret)}`;
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    authorization: `Basic ${Buffer.from(basic).toString('base64')}`,
  };
  const form = new URLSearchParams({ token }).toString();
  return new Promise((resolve, reject) => {
    const call = request(`http://${issuer}/token/revocation`, { method: 'POST', headers }, (answer) => {
      answer.resume();
      answer.on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`${answer.statusCode}`))));
    });
    call.on('error', reject);
    call.end(form);
  });
}

// RFC 9449 §4.3 as a resource server checks it; throws 'use_dpop_nonce' or 'invalid_dpop_proof'.
let nonces = [randomBytes(16).toString('base64url')];
if (options.dpop) {
  setInterval(() => {
    nonces = [randomBytes(16).toString('base64url'), nonces[0]];
  }, 500).unref();
}
const proven = new Set();
async function checkProof(req, token, bound) {
  let payload;
  let thumbprint;
  try {
    const jwt = await jwtVerify(req.headers.dpop ?? '', EmbeddedJWK, { typ: 'dpop+jwt', algorithms: ['ES256'] });
    payload = jwt.payload;
    thumbprint = await calculateJwkThumbprint(jwt.protectedHeader.jwk);
  } catch {
    throw new Error('invalid_dpop_proof');
  }
  const htu = new URL(req.url, `http://${req.headers.host}`);
  htu.search = '';
  const right =
    payload.htm === req.method &&
    new URL(payload.htu).href === htu.href &&
    payload.ath === createHash('sha256').update(token).digest('base64url') &&
    Math.abs(payload.iat - Date.now() / 1000) < 30 &&
    thumbprint === bound &&
    !proven.has(payload.jti);
  proven.add(payload.jti);
  if (!right) throw new Error('invalid_dpop_proof');
  if (!nonces.includes(payload.nonce)) throw new Error('use_dpop_nonce');
}

const json = (res, status, value, headers = {}) =>
  res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));

const api = await listen(async (req, res) => {
  req.resume();
  try {
    if (req.url === '/counts') return json(res, 200, { ...counts, used: used.size });
    if (req.url === '/revoke' && req.method === 'POST') {
      for (const token of issued.splice(0)) {
        const value = token.jti;
        if (await isLive(value)) await revoke(value);
      }
      return json(res, 200, {});
    }
    const token = (req.headers.authorization ?? '').replace(options.dpop ? /^DPoP / : /^Bearer /, '');
    const found = options.dpop ? await provider.ClientCredentials.find(token) : undefined;
    try {
      if (found) await checkProof(req, token, found.jkt);
    } catch ({ message }) {
      counts[message === 'use_dpop_nonce' ? 'nonces_wanted' : 'bad_proofs'] += 1;
      const headers = { 'www-authenticate': `DPoP error="${message}"`, 'dpop-nonce': nonces[0] };
      return json(res, 401, { detail: message }, headers);
    }
    if (await isLive(token)) {
      used.add(token);
      counts.accepted += 1;
      return json(res, 200, { target: req.url });
    }
    counts.rejected += 1;
    return json(res, 401, { detail: 'token not accepted' }, { 'www-authenticate': `${options.dpop ? 'DPoP' : 'Bearer'} error="invalid_token"` });
  } catch (error) {
    return json(res, 500, { error: String(error) });
  }
});

console.log(JSON.stringify({ issuer, api: addressOf(api) }));
