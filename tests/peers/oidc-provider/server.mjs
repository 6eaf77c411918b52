// A real authorization server (npm oidc-provider) and two APIs that it guards.
//
//   node server.mjs --lifetime=5 --secret=svc-canary-secret-1
//
//   --tls=DIRECTORY   https, with server.pem and server.key; clients show certificates (RFC 8705) of ca.pem, or self-signed.pem
//   --keep-last       a used refresh token stays good until its successor is used, instead of ending the grant
//   --dpop            tokens are bound to a key (RFC 9449), and both the server and the APIs demand nonces
//   --delay=MS        answer token requests that much later than they are carried out
//   --attended        end when standard input does
//
// Its first line names the addresses, and keys and secrets of its clients (clients.mjs), made at this start:
// {"issuer":"127.0.0.1:40001","api":"127.0.0.1:40002","resource":"127.0.0.1:40003","keys":{"RS256":"PEM"},"secrets":{"svc":"…"}}
//
// `resource` verifies tokens as others must: by introspection, or the signature (api.mjs). `api` looks into the server's
// own storage, which takes no time: 200 to a live token, 401 to any other. Beside that it is for the test alone: GET
// /counts tells what happened so far; POST /revoke takes back every token through the server's own revocation endpoint
// (RFC 7009); POST /grant?client=ID&resource=URI makes a first refresh token; POST /subject?sub=NAME makes an access token
// of somebody, to be exchanged; POST /lose?answers=N breaks the next N connections after their token request was carried
// out.
import { X509Certificate, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { parseArgs } from 'node:util';

import Provider from 'oidc-provider';

import { api as tokenApi, either, introspection, signature } from './api.mjs';
import { SCOPES, clients, newSecrets, privateJwk } from './clients.mjs';
import { ASSERTION_ISSUER, firstRefreshToken, registerGrants, resourceServer } from './grants.mjs';
import { proofs } from './proofs.mjs';
import { adapter } from './storage.mjs';


const { values: options } = parseArgs({
  options: {
    lifetime: { type: 'string', default: '5' },
    secret: { type: 'string', default: 'svc-pass-1' },
    user: { type: 'string', default: 'robot' },
    password: { type: 'string', default: 'robot-canary-pw' },
    tls: { type: 'string' },
    'keep-last': { type: 'boolean', default: false },
    dpop: { type: 'boolean', default: false },
    delay: { type: 'string', default: '0' },
    attended: { type: 'boolean', default: false },
  },
});
const lifetime = Number(options.lifetime);
const delay = Number(options.delay);
const names = ['token_requests', 'tokens', 'refreshes', 'passwords', 'refusals', 'accepted', 'rejected', 'reused', 'revoked_grants', 'lost', 'nonces_wanted', 'bad_proofs'];
const counts = Object.fromEntries(names.map((name) => [name, 0]));
const issued = [];
const used = new Set();
const refreshed = new Set();
let answersToLose = 0;

const tls = options.tls && {
  cert: readFileSync(`${options.tls}/server.pem`),
  key: readFileSync(`${options.tls}/server.key`),
  ca: readFileSync(`${options.tls}/ca.pem`),
  requestCert: true,
  rejectUnauthorized: false,
};
const scheme = tls ? 'https' : 'http';
// Certificates name hosts; without them there is nothing to resolve.
const host = tls ? 'localhost' : '127.0.0.1';

const listen = (handler, secure) =>
  new Promise((resolve) => {
    const server = secure ? createTlsServer(secure, handler) : createServer(handler);
    server.keepAliveTimeout = 60_000;
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => resolve(server));
  });
const addressOf = (server) => `127.0.0.1:${server.address().port}`;

// ---- The authorization server ----

let handle = (req, res) => res.writeHead(503).end();
const issuerServer = await listen((req, res) => {
  if (req.method === 'POST' && req.url === '/token') {
    counts.token_requests += 1;
    if (answersToLose > 0) {
      answersToLose -= 1;
      // Carried out, and nobody learns what came of it.
      res.end = () => {
        counts.lost += 1;
        return req.socket.destroy();
      };
    } else if (delay > 0) {
      const end = res.end.bind(res);
      res.end = (...all) => setTimeout(end, delay, ...all);
    }
  }
  handle(req, res);
}, tls);
const issuer = `${scheme}://${host}:${issuerServer.address().port}`;
const known = newSecrets(options.secret);
const certificateOf = (ctx) => {
  const { raw } = ctx.req.socket.getPeerCertificate?.() ?? {};
  return raw && new X509Certificate(raw);
};

const provider = new Provider(issuer, {
  adapter: adapter({ keepLast: options['keep-last'], onRevoked: () => (counts.revoked_grants += 1) }),
  clients: clients(known, options),
  clientAuthMethods: [
    ...['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none'],
    ...(tls ? ['tls_client_auth', 'self_signed_tls_client_auth'] : []),
  ],
  enabledJWA: { clientAuthSigningAlgValues: ['HS256', 'RS256', 'PS256', 'ES256', 'EdDSA'] },
  jwks: { keys: [privateJwk(known.keys.RS256, { kid: 'server', alg: 'RS256' })] },
  scopes: SCOPES,
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (ctx, token) => token.extra,
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
    dPoP: { enabled: options.dpop, nonceSecret: randomBytes(32), requireNonce: () => true },
    mTLS: {
      enabled: Boolean(tls),
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: certificateOf,
      certificateAuthorized: (ctx) => ctx.req.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_san_dns' && certificateOf(ctx).subjectAltName.split(', ').includes(`DNS:${expected}`),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => resourceServer(resource, lifetime),
    },
  },
  // Single use, as RFC 9700 wants it: a refresh token that comes twice ends the whole grant.
  rotateRefreshToken: true,
  ttl: { ClientCredentials: lifetime, AccessToken: lifetime, RefreshToken: 3600, Grant: 3600 },
});

const keep = (token) => issued.push(token);
provider.on('client_credentials.saved', keep);
provider.on('access_token.saved', keep);
const countRefresh = (ctx) => {
  const { refresh_token: token } = ctx.oidc.params ?? {};
  if (token && refreshed.has(token)) counts.reused += 1;
  if (token) refreshed.add(token);
};
provider.on('grant.success', (ctx) => {
  counts.tokens += 1;
  if (ctx.oidc.params.grant_type === 'refresh_token') counts.refreshes += 1;
  countRefresh(ctx);
});
provider.on('grant.error', (ctx) => {
  counts.refusals += 1;
  countRefresh(ctx);
});
registerGrants(provider, { ...options, keys: known.keys, lifetime, certificateOf, counts });
handle = provider.callback();

// ---- The API that takes no time ----

const find = async (token) =>
  token ? ((await provider.ClientCredentials.find(token)) ?? (await provider.AccessToken.find(token))) : undefined;
const isLive = async (token) => (await find(token))?.isValid === true;
const boundTo = async (token) => (options.dpop ? (await find(token))?.jkt : undefined);

function revoke(token) {
  const basic = `${encodeURIComponent('svc')}:${encodeURIComponent(options.secret)}`;
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    authorization: `Basic ${Buffer.from(basic).toString('base64')}`,
  };
  const form = new URLSearchParams({ token }).toString();
  return new Promise((resolve, reject) => {
    const call = request(`${issuer}/token/revocation`, { method: 'POST', headers }, (answer) => {
      answer.resume();
      answer.on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`${answer.statusCode}`))));
    });
    call.on('error', reject);
    call.end(form);
  });
}

const json = (res, status, value, headers = {}) =>
  res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));

const controls = {
  'GET /counts': () => ({ ...counts, used: used.size }),
  'POST /revoke': async () => {
    for (const token of issued.splice(0)) {
      if (await isLive(token.jti)) await revoke(token.jti);
    }
    return {};
  },
  'POST /grant': async (query) => {
    const resource = query.get('resource') ?? undefined;
    return { refresh_token: (await firstRefreshToken(provider, query.get('client') ?? 'svc', { resource })).refresh };
  },
  'POST /subject': async (query) => {
    const accountId = query.get('sub');
    const { grantId, client } = await firstRefreshToken(provider, 'api', { accountId });
    const token = new provider.AccessToken({ accountId, client, grantId, scope: SCOPES[0], expiresIn: 3600, gty: 'authorization_code' });
    return { access_token: await token.save() };
  },
  'POST /lose': (query) => {
    answersToLose = Number(query.get('answers') ?? 1);
    return {};
  },
};

const check = proofs(1000);

const api = await listen(async (req, res) => {
  req.resume();
  try {
    const [path, query] = req.url.split('?');
    const control = controls[`${req.method} ${path}`];
    if (control) return json(res, 200, await control(new URLSearchParams(query)));
    const scheme = options.dpop ? 'DPoP' : 'Bearer';
    const token = (req.headers.authorization ?? '').replace(new RegExp(`^${scheme} `), '');
    const bound = await boundTo(token);
    const error = bound && (await check(req, res, token, bound));
    if (error) {
      counts[error === 'use_dpop_nonce' ? 'nonces_wanted' : 'bad_proofs'] += 1;
      return json(res, 401, { detail: error }, { 'www-authenticate': `DPoP error="${error}"` });
    }
    if (await isLive(token)) {
      used.add(token);
      counts.accepted += 1;
      return json(res, 200, { target: req.url });
    }
    counts.rejected += 1;
    return json(res, 401, { detail: 'token not accepted' }, { 'www-authenticate': `${scheme} error="invalid_token"` });
  } catch (error) {
    return json(res, 500, { error: String(error) });
  }
});

// ---- The API that verifies ----

const asked = introspection({ endpoint: `${issuer}/token/introspection`, id: 'api', secret: known.secrets.api });
const signed = signature({ jwks: `${issuer}/jwks`, issuer });
const resource = await listen(tokenApi(either(asked, signed), { nonceEvery: options.dpop && 10_000 }), tls);

// That it answers is known before anybody is told, and with it whatever is read at the first use.
await fetch(`${issuer}/jwks`);
if (options.attended) process.stdin.on('end', () => process.exit(0)).resume();
const addresses = { issuer: addressOf(issuerServer), api: addressOf(api), resource: addressOf(resource) };
console.log(JSON.stringify({ ...addresses, url: issuer, assertion_issuer: ASSERTION_ISSUER, ...known }));
