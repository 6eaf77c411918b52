// The grants that the library leaves to whoever needs them: password (RFC 6749 §4.3), JWT bearer (RFC 7523) and token
// exchange (RFC 8693). Client authentication, storage and certificate binding are the library's.
import { createPrivateKey, createPublicKey } from 'node:crypto';

import { jwtVerify } from 'jose';

import { JWT_BEARER, SCOPES, TOKEN_EXCHANGE } from './clients.mjs';

export const ASSERTION_ISSUER = 'robot@assertions.test';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';

class Refused extends Error {}

export const refuse = (ctx, description, error = 'invalid_grant') => {
  ctx.status = 400;
  ctx.body = { error, error_description: description };
};

// What a resource server is to the library: JWT access tokens whose audience is the resource (RFC 8707, RFC 9068).
export const resourceServer = (resource, lifetime) => ({
  scope: SCOPES.join(' '),
  audience: resource,
  accessTokenFormat: 'jwt',
  accessTokenTTL: lifetime,
  jwt: { sign: { alg: 'RS256' } },
});

// A grant of everything to one account, and the first refresh token of it: what a person's consent leads to.
export async function firstRefreshToken(provider, clientId, { accountId = 'robot', resource, scope = SCOPES.join(' ') } = {}) {
  const client = await provider.Client.find(clientId);
  const grant = new provider.Grant({ clientId, accountId });
  grant.addOIDCScope(scope);
  if (resource) grant.addResourceScope(resource, scope);
  const grantId = await grant.save();
  const common = { accountId, client, grantId, scope, resource, gty: 'authorization_code', rotations: 0 };
  return { grantId, client, refresh: await new provider.RefreshToken(common).save() };
}

export function registerGrants(provider, { user, password, keys, lifetime, certificateOf, counts }) {
  const issuerKey = createPublicKey(createPrivateKey(keys.RS256));

  const respond = async (ctx, accountId, { act, withRefresh = false, more = {} } = {}) => {
    const { client, params } = ctx.oidc;
    const scope = params.scope ?? SCOPES[0];
    const { grantId, refresh } = await firstRefreshToken(provider, client.clientId, { accountId, resource: params.resource, scope });
    const access = new provider.AccessToken({ accountId, client, grantId, scope, gty: params.grant_type, extra: act && { act } });
    if (params.resource) {
      access.resourceServer = new provider.ResourceServer(params.resource, resourceServer(params.resource, lifetime));
    }
    if (client.tlsClientCertificateBoundAccessTokens) access.setThumbprint('x5t', certificateOf(ctx));
    ctx.body = { access_token: await access.save(), expires_in: access.expiration, token_type: 'Bearer', scope, ...more };
    if (withRefresh && scope.split(' ').includes('offline_access')) ctx.body.refresh_token = refresh;
  };

  const subjectOfJwt = async (token, audience) => {
    const { payload } = await jwtVerify(token, issuerKey, { issuer: ASSERTION_ISSUER, audience, requiredClaims: ['sub', 'exp'] });
    return payload.sub;
  };
  const subjectOf = async (token, type, audience) => {
    if (type === JWT) return subjectOfJwt(token, audience);
    if (type !== ACCESS_TOKEN) throw new Refused(`unknown token type ${type}`);
    const found = (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
    if (!found?.isValid) throw new Refused('this access token is not valid');
    return found.accountId ?? found.clientId;
  };

  const guarded = (handler) => async (ctx) => {
    try {
      await handler(ctx, ctx.oidc.params);
    } catch (error) {
      if (!(error instanceof Refused || error.code?.startsWith('ERR_J'))) throw error;
      refuse(ctx, error.message);
    }
  };
  const audiences = (ctx) => [provider.issuer, ctx.oidc.urlFor('token')];

  const handlers = {
    password: [
      ['username', 'password', 'scope', 'resource'],
      guarded(async (ctx, params) => {
        counts.passwords += 1;
        if (params.username !== user || params.password !== password) throw new Refused('wrong user name or password');
        await respond(ctx, params.username, { withRefresh: true });
      }),
    ],
    [JWT_BEARER]: [
      ['assertion', 'scope', 'resource'],
      guarded(async (ctx, params) => respond(ctx, await subjectOfJwt(params.assertion, audiences(ctx)))),
    ],
    [TOKEN_EXCHANGE]: [
      ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type', 'audience', 'scope', 'resource'],
      guarded(async (ctx, params) => {
        if (params.requested_token_type && params.requested_token_type !== ACCESS_TOKEN) {
          throw new Refused('only access tokens can be asked for');
        }
        const subject = await subjectOf(params.subject_token, params.subject_token_type, audiences(ctx));
        const actor = params.actor_token && (await subjectOf(params.actor_token, params.actor_token_type, audiences(ctx)));
        await respond(ctx, subject, { act: actor && { sub: actor }, more: { issued_token_type: ACCESS_TOKEN } });
      }),
    ],
  };
  for (const [name, [parameters, handler]] of Object.entries(handlers)) {
    provider.registerGrantType(name, handler, parameters, []);
  }
}
