// DPoP (RFC 9449) as a resource server checks it, with panva's jose and nonces of its own.
import { createHash, randomBytes } from 'node:crypto';

import { EmbeddedJWK, calculateJwkThumbprint, jwtVerify } from 'jose';

const newNonce = () => randomBytes(16).toString('base64url');

// Makes a check of one request: it gives back an error code of RFC 9449, or nothing. With nonces, a new one comes every so many
// milliseconds; the last two are good, and whoever has neither is told the newer one.
export function proofs(every) {
  let known = [newNonce(), newNonce()];
  if (every) setInterval(() => (known = [newNonce(), known[0]]), every).unref();
  const seen = new Set();
  return async (req, res, token, jkt) => {
    let payload;
    let thumbprint;
    try {
      const options = { typ: 'dpop+jwt', maxTokenAge: 60, requiredClaims: ['jti', 'htm', 'htu', 'ath'] };
      const jwt = await jwtVerify(req.headers.dpop ?? '', EmbeddedJWK, options);
      payload = jwt.payload;
      thumbprint = await calculateJwkThumbprint(jwt.protectedHeader.jwk);
    } catch {
      return 'invalid_dpop_proof';
    }
    const here = new URL(req.url, `${req.socket.encrypted ? 'https' : 'http'}://${req.headers.host}`);
    here.search = '';
    const right =
      thumbprint === jkt &&
      payload.htm === req.method &&
      new URL(payload.htu).href === here.href &&
      payload.ath === createHash('sha256').update(token).digest('base64url') &&
      !seen.has(payload.jti);
    seen.add(payload.jti);
    if (!right) return 'invalid_dpop_proof';
    if (!every || known.includes(payload.nonce)) return undefined;
    res.setHeader('DPoP-Nonce', known[0]);
    return 'use_dpop_nonce';
  };
}
