// An API that believes nobody: it asks the authorization server about every token (RFC 7662), or verifies its signature
// with the server's published keys. For a token that is bound to a certificate (RFC 8705 §3) it wants that certificate, for one
// that is bound to a key (RFC 9449 §7) a proof of that key for this very request, with a nonce of its own if it demands them.
//
// 200 shows the verified claims. /spend/NAME rejects the first token that comes there and takes any other, so that the
// caller has to get a new one.
import { createHash } from 'node:crypto';

import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';

import { proofs } from './proofs.mjs';

const thumbprint = (certificate) => createHash('sha256').update(certificate).digest('base64url');
const fingerprint = (token) => createHash('sha256').update(token).digest('hex').slice(0, 16);

const json = (res, status, value, headers = {}) =>
  res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));

export function introspection({ endpoint, id, secret }) {
  const basic = Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64');
  const headers = { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' };
  return async (token) => {
    const answer = await fetch(endpoint, { method: 'POST', headers, body: new URLSearchParams({ token }) });
    const claims = await answer.json();
    if (!answer.ok) throw new Error(`introspection: ${answer.status} ${JSON.stringify(claims)}`);
    return claims.active === true ? { ...claims, verified: 'introspection' } : undefined;
  };
}

export function signature({ jwks, issuer, audience }) {
  const keys = createRemoteJWKSet(new URL(jwks));
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, keys, { issuer, audience, requiredClaims: ['exp'] });
      return { ...payload, active: true, verified: 'signature' };
    } catch (error) {
      if (error.code?.startsWith('ERR_JW')) return undefined;
      throw error;
    }
  };
}

// Opaque tokens are asked about, JWTs verified.
export function either(asked, signed) {
  return async (token) => {
    try {
      decodeProtectedHeader(token);
    } catch {
      return asked(token);
    }
    return signed(token);
  };
}

export function api(verify, { nonceEvery } = {}) {
  const spent = new Map();
  const check = proofs(nonceEvery);
  return async (req, res) => {
    req.resume();
    const deny = (scheme = 'Bearer', error = 'invalid_token') =>
      json(res, 401, { detail: 'token not accepted', error }, { 'www-authenticate': `${scheme} error="${error}"` });
    try {
      const [scheme, token] = (req.headers.authorization ?? '').split(' ');
      const claims = token ? await verify(token) : undefined;
      if (!claims) return deny();
      const { 'x5t#S256': certificate, jkt } = claims.cnf ?? {};
      if (scheme !== (jkt ? 'DPoP' : 'Bearer')) return deny(jkt ? 'DPoP' : 'Bearer');
      if (certificate) {
        const shown = req.socket.getPeerCertificate?.()?.raw;
        if (!shown || thumbprint(shown) !== certificate) return deny();
      }
      const error = jkt && (await check(req, res, token, jkt));
      if (error) return deny('DPoP', error);
      if (req.url.startsWith('/spend/')) {
        if (!spent.has(req.url)) spent.set(req.url, token);
        if (spent.get(req.url) === token) return deny(scheme);
      }
      return json(res, 200, { token: fingerprint(token), ...claims });
    } catch (error) {
      return json(res, 500, { error: String(error.stack) });
    }
  };
}
