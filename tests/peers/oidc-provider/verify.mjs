// The API of api.mjs in a process of its own, behind any authorization server:
//
//   node verify.mjs --introspection=http://127.0.0.1:1/introspect --client=api --secret=…
//   node verify.mjs --jwks=http://127.0.0.1:1/jwks [--issuer=…] [--audience=…]
//
// With both it verifies JWTs and asks about the rest; with --tls=DIRECTORY it speaks https and asks for certificates.
// Its first line is its port. It ends when its standard input does.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { parseArgs } from 'node:util';

import { api, either, introspection, signature } from './api.mjs';

const text = { type: 'string' };
const { values: options } = parseArgs({
  options: { introspection: text, client: text, secret: text, jwks: text, issuer: text, audience: text, tls: text },
});
const asked = options.introspection
  ? introspection({ endpoint: options.introspection, id: options.client, secret: options.secret })
  : async () => undefined;
const verify = options.jwks ? either(asked, signature(options)) : asked;
const tls = options.tls && {
  cert: readFileSync(`${options.tls}/server.pem`),
  key: readFileSync(`${options.tls}/server.key`),
  requestCert: true,
  rejectUnauthorized: false,
};
const server = tls ? createTlsServer(tls, api(verify)) : createServer(api(verify));
// That the server answers is known before anybody is told, and with it whatever is read at the first use.
await fetch(options.jwks ?? options.introspection);
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
