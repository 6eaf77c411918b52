// The clients of the server: one for each way to authenticate, all with the same grants.
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const SCOPES = ['api.read', 'offline_access'];

const KEYS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

const pem = (key) => key.export({ type: 'pkcs8', format: 'pem' });

// The public half of a private key, as a JWK.
export const publicJwk = (text, more) => ({
  ...createPublicKey(createPrivateKey(text)).export({ format: 'jwk' }),
  use: 'sig',
  ...more,
});

// The whole key, as a JWK.
export const privateJwk = (text, more) => ({ ...createPrivateKey(text).export({ format: 'jwk' }), use: 'sig', ...more });

// Keys and secrets, made anew at each start: { keys: { RS256: PEM, … }, secrets: { "svc": "…", … } }.
export function newSecrets(secret) {
  const keys = Object.fromEntries(Object.entries(KEYS).map(([name, make]) => [name, pem(make().privateKey)]));
  keys.PS256 = keys.RS256;
  const fresh = (name) => `${name}/${randomBytes(24).toString('base64')}`;
  return {
    keys,
    secrets: { svc: secret, 'svc-post': fresh('svc-post'), 'svc-secret-jwt': fresh('svc-secret-jwt'), api: fresh('api') },
  };
}

export function clients({ keys, secrets }, { tls, dpop }) {
  const client = (id, method, more = {}) => ({
    client_id: id,
    client_secret: secrets[id],
    token_endpoint_auth_method: method,
    grant_types: ['client_credentials', 'password', 'refresh_token', JWT_BEARER, TOKEN_EXCHANGE],
    redirect_uris: [],
    response_types: [],
    scope: SCOPES.join(' '),
    dpop_bound_access_tokens: dpop,
    ...(tls ? { tls_client_certificate_bound_access_tokens: method.includes('tls_client_auth') } : {}),
    ...more,
  });
  const all = [
    client('svc', 'client_secret_basic'),
    client('svc-post', 'client_secret_post'),
    client('svc-secret-jwt', 'client_secret_jwt', { token_endpoint_auth_signing_alg: 'HS256' }),
    client('svc-public', 'none', { grant_types: ['password', 'refresh_token', JWT_BEARER, TOKEN_EXCHANGE] }),
    // Who checks tokens: a resource server that may ask and nothing else (RFC 7662).
    client('api', 'client_secret_basic', { grant_types: ['client_credentials'] }),
  ];
  for (const alg of Object.keys(keys)) {
    const jwks = { keys: [publicJwk(keys[alg], { kid: `kid-${alg}`, alg })] };
    all.push(client(`svc-${alg}`, 'private_key_jwt', { jwks, token_endpoint_auth_signing_alg: alg }));
  }
  if (tls) {
    all.push(client('svc-tls', 'tls_client_auth', { tls_client_auth_san_dns: 'svc.test' }));
    const own = new X509Certificate(readFileSync(`${tls}/self-signed.pem`));
    const x5c = [own.raw.toString('base64')];
    const jwk = { ...own.publicKey.export({ format: 'jwk' }), x5c, use: 'sig', kid: 'self-signed' };
    all.push(client('svc-self-signed', 'self_signed_tls_client_auth', { jwks: { keys: [jwk] } }));
  }
  return all;
}
