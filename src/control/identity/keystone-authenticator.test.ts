import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ApiError } from '#model/errors.ts';
import { jsonLog } from '../http/log.ts';
import { KeystoneAuthenticator } from './keystone-authenticator.ts';

/** As much of Keystone as an authenticator sees: one service user, tokens by name. */
async function withKeystone(run: (keystone: { authenticator: KeystoneAuthenticator; asked: string[]; tokens: Map<string, object>; own: Set<string>; log: string[]; stop: () => Promise<void> }) => Promise<void>): Promise<void> {
  const tokens = new Map<string, object>();
  const own = new Set<string>();
  const asked: string[] = [];
  const answer = async (request: IncomingMessage, reply: ServerResponse) => {
    asked.push(`${request.method} ${request.headers['x-subject-token'] ?? ''}`.trim());
    let body = '';
    for await (const chunk of request) body += chunk;
    if (request.method === 'POST') {
      if (JSON.parse(body).auth.identity.password.user.password !== 's3rvice') return reply.writeHead(401).end('{}');
      own.add(`own-${asked.length}`);
      return reply.writeHead(201, { 'x-subject-token': `own-${asked.length}` }).end('{}');
    }
    if (!own.has(String(request.headers['x-auth-token']))) return reply.writeHead(401).end('{}');
    const token = tokens.get(String(request.headers['x-subject-token']));
    return token ? reply.writeHead(200).end(JSON.stringify({ token })) : reply.writeHead(404).end('{}');
  };
  const server = createServer((request, reply) => void answer(request, reply));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const log: string[] = [];
  const stop = async () => { server.closeAllConnections(); await new Promise((resolve) => server.close(resolve)); };
  const auth_url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v3/`;
  const authenticator = new KeystoneAuthenticator({ auth_url, username: 'patchbay', password: 's3rvice', project_name: 'service' }, jsonLog('test', (line) => void log.push(line)));
  try {
    await run({ authenticator, asked, tokens, own, log, stop });
  } finally {
    await stop();
  }
}

const DEMO = {
  expires_at: '2999-01-01T00:00:00.000000Z', methods: ['password'],
  user: { id: 'u1', name: 'demo', domain: { id: 'default', name: 'Default' } },
  project: { id: 'p1', name: 'demo', domain: { id: 'default', name: 'Default' } },
  roles: [{ id: 'r1', name: 'reader' }],
};

test('a token is validated at Keystone once, and its context is what Keystone says', () => withKeystone(async ({ authenticator, tokens, asked }) => {
  tokens.set('good', DEMO);
  const contexts = await Promise.all([authenticator.authenticate('good'), authenticator.authenticate('good')]);
  assert.deepEqual(contexts[0], {
    user_id: 'u1', user_name: 'demo', user_domain_id: 'default', project_id: 'p1', project_name: 'demo', project_domain_id: 'default',
    roles: ['reader'], is_admin: false, is_reader: true,
  });
  assert.deepEqual(contexts[1], contexts[0]);
  assert.deepEqual(await authenticator.authenticate('good'), contexts[0]);
  assert.deepEqual(asked, ['POST', 'GET good']);
}));

test('an unknown or expired token and one that is no header are refused', () => withKeystone(async ({ authenticator, tokens, asked }) => {
  tokens.set('old', { ...DEMO, expires_at: '2020-01-01T00:00:00.000000Z' });
  for (const token of ['unknown', 'unknown', 'old', '', 'a b', 'a\r\nx-auth-token: own', 'ä']) assert.equal(await authenticator.authenticate(token), undefined);
  assert.deepEqual(asked, ['POST', 'GET unknown', 'GET old']);
}));

test('when our own token has ended a new one is fetched', () => withKeystone(async ({ authenticator, tokens, own, asked }) => {
  tokens.set('good', DEMO).set('better', DEMO);
  await authenticator.authenticate('good');
  own.clear();
  assert.equal((await authenticator.authenticate('better'))?.user_id, 'u1');
  assert.deepEqual(asked, ['POST', 'GET good', 'GET better', 'POST', 'GET better']);
}));

test('a Keystone that is down is 503 and not 401, and works again when it is back', () => withKeystone(async ({ authenticator, tokens, log, stop }) => {
  tokens.set('good', DEMO);
  await authenticator.authenticate('good');
  await stop();
  assert.equal((await authenticator.authenticate('good'))?.user_id, 'u1', 'known tokens go on');
  await assert.rejects(authenticator.authenticate('other'), (error) => error instanceof ApiError && error.status === 503);
  assert.equal(log.join('').includes('s3rvice') || log.join('').includes('other"'), false);
  assert.match(log.join(''), /cannot validate tokens at Keystone/);
}));
