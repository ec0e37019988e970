import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, request as httpRequest, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { buffer } from 'node:stream/consumers';
import type { MetadataAnswer, MetadataQuestion } from '#protocol/messages.ts';
import { MetadataAgent, type MetadataApi } from './metadata-agent.ts';

const folder = mkdtempSync(join(tmpdir(), 'patchbay-metadata-'));
const answer = { instance_id: 'vm', project_id: 'p', signature: 'ab' };
after(() => rmSync(folder, { recursive: true, force: true }));

/** An agent before a metadata API; `ask` is the controller. */
async function run(api: RequestListener, ask: (question: MetadataQuestion) => Promise<MetadataAnswer>, use: (get: (path: string, headers?: Record<string, string | string[]>, method?: string, body?: Buffer) => Promise<{ status: number; body: Buffer; headers: IncomingMessage['headers'] }>, server: Server) => Promise<void>, target?: (server: Server) => MetadataApi): Promise<void> {
  const server = createServer(api);
  const path = join(folder, 'api');
  await new Promise<void>((resolve) => (target ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve)));
  const socket = join(folder, 'run', 'metadata_proxy');
  const agent = new MetadataAgent({ socket, group: null, ask, api: target?.(server) ?? { socketPath: path }, log: () => {} });
  await agent.start();
  try {
    assert.equal(statSync(socket).mode & 0o777, 0o660);
    await use((url, headers = {}, method = 'GET', body = Buffer.alloc(0)) => new Promise((resolve, reject) => {
      httpRequest({ agent: false, socketPath: socket, path: url, method, headers: { 'x-forwarded-for': '10.0.0.5', 'x-neutron-network-id': 'n', ...headers } }, (response) => {
        buffer(response).then((bytes) => resolve({ status: response.statusCode!, body: bytes, headers: response.headers }), reject);
      }).once('error', reject).end(body);
    }), server);
  } finally {
    agent.stop();
    server.closeAllConnections();
    server.close();
  }
}

test('N-MD-7, LP 1865036: the API hears who asks from the controller, and nothing that a guest says of it', async () => {
  const heard: IncomingMessage['headers'][] = [];
  const asked: MetadataQuestion[] = [];
  const bytes = Buffer.from([0, 255, 10, 13, 128]);
  await run((request, response) => {
    heard.push(request.headers);
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': bytes.length, 'set-cookie': 'a=b', server: 'nova' }).end(bytes);
  }, async (question) => (asked.push(question), answer), async (get) => {
    const { status, body, headers } = await get('/latest/user-data?x=1', {
      'X-Instance-ID': 'victim', 'X-Tenant-ID': 'theirs', 'X-Instance-ID-Signature': 'forged', 'X-Metadata-Provider': 'lb', 'X_Instance_ID': 'victim', authorization: 'secret', 'x-aws-ec2-metadata-token': 't', host: 'evil',
    });
    assert.deepEqual([status, body, headers['content-type'], headers['set-cookie'], headers.server], [200, bytes, 'text/plain', undefined, undefined]);
    assert.deepEqual(asked, [{ network_id: 'n', address: '10.0.0.5' }]);
    const { host, connection, ...rest } = heard[0]!;
    assert.deepEqual([host, connection], ['metadata', 'keep-alive']);
    assert.deepEqual(rest, { 'x-forwarded-for': '10.0.0.5', 'x-instance-id': 'vm', 'x-tenant-id': 'p', 'x-instance-id-signature': 'ab', 'x-aws-ec2-metadata-token': 't', 'content-length': '0' });
    await get('/', { 'x-neutron-network-id': [], 'x-neutron-router-id': 'r' });
    assert.deepEqual(asked[1], { router_id: 'r', address: '10.0.0.5' });
  });
});

test('ATT-smuggling: a request that names two askers or none, a long body, an unknown address and a silent controller are refused in words', async () => {
  let say: () => Promise<MetadataAnswer> = async () => null;
  let served = 0;
  await run((_request, response) => void (served++, response.end()), () => say(), async (get) => {
    const status = async (headers: Record<string, string | string[]>) => (await get('/', headers)).status;
    assert.deepEqual([await status({ 'x-neutron-router-id': 'r' }), await status({ 'x-neutron-network-id': ['n', 'm'] }), await status({ 'x-neutron-network-id': [] }), await status({ 'x-forwarded-for': ['1.1.1.1', '10.0.0.5'] }), await status({ 'x-forwarded-for': [] })], [400, 400, 400, 400, 400]);
    assert.equal((await get('/', {}, 'POST', Buffer.alloc(20_000))).status, 413);
    const unknown = await get('/');
    assert.deepEqual([unknown.status, String(unknown.body)], [404, 'no instance of network n has the address 10.0.0.5\n']);
    say = async () => {
      throw new Error('the controller is not connected');
    };
    assert.equal((await get('/')).status, 503);
    assert.equal(served, 0);
  });
});

test('statuses and bodies go through both ways; an API that ended a connection meanwhile is asked again', async () => {
  const heard: string[] = [];
  await run(async (request, response) => {
    heard.push(`${request.method} ${request.url} ${await buffer(request)}`);
    response.writeHead(request.method === 'POST' ? 409 : 200).end('said');
  }, async () => answer, async (get, server) => {
    const posted = await get('/openstack/latest/password', {}, 'POST', Buffer.from('pw'));
    assert.deepEqual([posted.status, String(posted.body)], [409, 'said']);
    assert.equal((await get('/')).status, 200);
    server.closeIdleConnections();
    assert.equal((await get('/again')).status, 200);
    assert.deepEqual([(await get('/', {}, 'HEAD')).status, (await get('/', {}, 'HEAD')).body.length], [200, 0]);
    assert.deepEqual(heard.slice(0, 3), ['POST /openstack/latest/password pw', 'GET / ', 'GET /again ']);
    server.closeAllConnections();
    server.close();
    assert.equal((await get('/')).status, 503);
  });
});

test('a real Nova is asked where the settings say', async () => {
  await run((request, response) => void response.end(`${request.headers.host} ${request.headers['x-instance-id']}`), async () => answer, async (get, server) => {
    const { port } = server.address() as { port: number };
    assert.equal(String((await get('/')).body), `127.0.0.1:${port} vm`);
  }, (server) => ({ protocol: 'http', host: '127.0.0.1', port: (server.address() as { port: number }).port }));
});
