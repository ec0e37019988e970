/** What strangers may do to the listener: bodies, paths, headers, connections. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { connect } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ApiError } from '#model/errors.ts';
import { createFrame, requireToken, type Service } from './frame.ts';
import { jsonLog } from './log.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const TOKEN = 'gAAAAA-a-secret-token';

/** A service with one route that takes a body, one that needs a token, and one that fails. */
const service: Service = {
  prefix: '/s',
  envelope: (error) => ({ fault: { type: error.type, message: error.message } }),
  routes(app) {
    app.post('/things', async (request) => ({ took: JSON.stringify(request.body).length }));
    app.get('/mine', { preHandler: requireToken({ authenticate: async () => undefined }, 'http://auth') }, async () => ({}));
    app.get('/broken', async () => {
      throw new Error('the store is gone');
    });
    app.get('/refused', async () => {
      throw new ApiError('HTTPBadRequest', { reason: 'no' });
    });
  },
};

async function frame<T>(run: (app: ReturnType<typeof createFrame>, log: string[]) => Promise<T>, more: { bodySeconds?: number } = {}): Promise<T> {
  const log: string[] = [];
  const app = createFrame({ services: [service], log: jsonLog('test', (line) => void log.push(line)), ...more });
  try {
    return await run(app, log);
  } finally {
    await app.close();
  }
}

/** Speaks raw bytes to the listener; resolves with all it said until it closed the connection. */
async function speak(app: ReturnType<typeof createFrame>, bytes: string): Promise<string> {
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as { port: number };
  return new Promise((resolve) => {
    let said = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('utf8').on('data', (text: string) => (said += text)).on('error', () => {}).on('close', () => resolve(said));
  });
}

test('ATT-json: bodies that are too large, too deep or no JSON are 4xx in the form of the service', () => frame(async (app, log) => {
  const post = (payload: string) => app.inject({ method: 'POST', url: '/s/things', headers: { 'content-type': 'application/json' }, payload });
  const depth = 200_000;
  const cases: [string, number][] = [
    [`"${'x'.repeat(2 ** 20)}"`, 413], ['{"a":', 400], ['[1,]', 400], ['\u0000', 400], [`${'['.repeat(depth)}`, 400], [`{"a":${'{"a":'.repeat(100_000)}`, 400],
  ];
  for (const [payload, status] of cases) {
    const answer = await post(payload);
    assert.equal(answer.statusCode, status, payload.slice(0, 40));
    assert.deepEqual(Object.keys(answer.json()), ['fault']);
  }
  assert.equal((await post(`{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}`)).statusCode, 200);
  assert.equal(({} as Record<string, unknown>)['admin'], undefined);
  assert.deepEqual(log.filter((line) => line.includes('"level":"error"')), []);
}));

test('ATT-slowloris: a body that drips in ends with its connection, and others are answered meanwhile', { timeout: 20_000 }, () => frame(async (app) => {
  const dripping = speak(app, 'POST /s/things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"a":');
  await new Promise((resume) => setTimeout(resume, 100));
  assert.equal((await app.inject({ url: '/s/refused' })).statusCode, 400);
  assert.equal(await dripping, '');
}, { bodySeconds: 1 }));

test('ATT-slowloris: an answer that takes longer than its body had is given all the same', { timeout: 20_000 }, async () => {
  const slow: Service = { prefix: '/s', envelope: () => ({}), routes: (app) => void app.post('/slow', async () => {
    await new Promise((resume) => setTimeout(resume, 600));
    return { done: true };
  }) };
  const app = createFrame({ services: [slow], log: jsonLog('test', () => {}), bodySeconds: 0.3 });
  const said = await speak(app, 'POST /s/slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}');
  assert.match(said, /^HTTP\/1\.1 200/);
  await app.close();
});

test('ATT-smuggling: a request that says its length twice, or in a way that two readers read differently, is refused and ends its connection', { timeout: 20_000 }, async () => {
  const heads = ['Content-Length: 5\r\nTransfer-Encoding: chunked', 'Content-Length: 5\r\nContent-Length: 6', 'Transfer-Encoding: xchunked', 'Transfer-Encoding : chunked', 'Content-Length: +5', 'X: a\nb: c'];
  for (const head of heads) {
    const said = await frame((app) => speak(app, `POST /s/things HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n0\r\n\r\nGET /s/refused HTTP/1.1\r\nHost: x\r\n\r\n`));
    assert.match(said, /^HTTP\/1\.1 400 /, head);
    assert.equal(said.match(/HTTP\/1\.1/g)?.length, 1, `${head}: the bytes behind it are no request`);
  }
});

test('OSSA-2021-006: paths that nobody knows cost nothing that stays', { timeout: 60_000 }, () => {
  // In a process of its own: the test runner keeps what it follows.
  const script = `
    import { createFrame } from '#control/http/frame.ts';
    const app = createFrame({ services: [{ prefix: '/s', envelope: (error) => ({ fault: error.message }), routes() {} }], log: { info() {}, error() {} } });
    const flood = async (from, count) => {
      for (let i = from; i < from + count; i++) {
        const { statusCode } = await app.inject({ method: i % 2 ? 'GET' : 'POST', url: '/' + (i % 3 ? 's/' : '') + 'unknown-' + i + '/' + 'x'.repeat(100) + '?a=' + i });
        if (statusCode !== 404) throw new Error('status ' + statusCode);
      }
      await new Promise((resume) => setTimeout(resume, 200));
      gc();
      return process.memoryUsage().heapUsed;
    };
    const before = await flood(0, 3000);
    console.log((await flood(3000, 10000)) - before, (await app.inject({ url: '/metrics' })).payload.split('unknown-').length);`;
  const out = execFileSync(process.execPath, ['--expose-gc', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], { cwd: ROOT, encoding: 'utf8' });
  const [more = 0, named] = out.trim().split(' ').map(Number);
  // A path is more than 100 bytes, and what Fastify keeps of a route far more.
  assert.ok(more < 1_000_000, `${more} bytes more`);
  assert.equal(named, 1, 'no path is in the metrics');
});

test('OSSA-2014-021, OSSA-2017-001: no line of the log holds a token, a body or a query, whatever becomes of the request', () => frame(async (app, log) => {
  const headers = { 'x-auth-token': TOKEN, 'x-subject-token': TOKEN, cookie: TOKEN, authorization: `Bearer ${TOKEN}` };
  for (const url of ['/s/mine', '/s/broken', '/s/refused', '/s/nowhere', `/s/mine?token=${TOKEN}`, `/nowhere?x=${TOKEN}`]) await app.inject({ url, headers });
  await app.inject({ method: 'POST', url: '/s/things', headers, payload: `{"auth":{"password":"${TOKEN}"}}` });
  await app.inject({ method: 'POST', url: '/s/things', headers, payload: `{"password":"${TOKEN}"` });
  assert.ok(log.length >= 8 && log.some((line) => line.includes('the store is gone')));
  assert.deepEqual(log.filter((line) => line.includes(TOKEN)), []);
}));
