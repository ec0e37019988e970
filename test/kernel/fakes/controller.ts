/** Stands in for the controller where only the commands are tested: the sockets, the credentials and the agents' connections, no cloud. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '#model/config.ts';

const { config: file = '', state = '' } = parseArgs({ options: { config: { type: 'string' }, state: { type: 'string' } } }).values;
const config = loadConfig(readFileSync(file, 'utf8'));
if (config.region_name === 'Broken') {
  console.log(JSON.stringify({ time: new Date().toISOString(), msg: 'the store cannot be opened' }));
  process.exit(1);
}
const alive = new Set<string>();
const path = (name: string) => {
  rmSync(join(state, name), { force: true });
  return join(state, name);
};
createServer((agent) => {
  let host = '';
  agent.on('data', (data) => alive.add((host = String(data).trim())));
  agent.on('close', () => alive.delete(host)).on('error', () => {});
}).listen(path('agents.sock'));

const api = () => createHttpServer((_, response) => response.end(JSON.stringify({ versions: [], at: config.listen })));
const [address, port] = config.listen.split(':');
api().listen(Number(port), address);
api().listen(path('api.sock'));

createHttpServer((request, response) => {
  const url = new URL(request.url!, 'http://x');
  const answer = (code: number, body: unknown) => response.writeHead(code).end(JSON.stringify(body));
  const hosts = [...alive].sort().map((host) => ({ host, alive: true, applied: 5, revision: 5, errors: [], idle_ports: 0 }));
  if (url.pathname === '/status') {
    answer(200, { controller: { store: 'fake', revision: 5, public_endpoint: `http://${config.listen}`, pid: process.pid, errors: [] }, hosts });
  } else if (url.pathname === '/wait') {
    const late = url.searchParams.get('timeout') === '1';
    answer(late ? 504 : 200, { revision: 5, waiting: late ? [{ host: 'compute2', applied: 3 }] : [] });
  } else answer(404, { error: `no server '${url.searchParams.get('server')}'` });
}).listen(path('control.sock'));

const user = (name: string) => ({ username: name, password: `${name}-secret`, project_name: name, user_domain_name: 'Default', project_domain_name: 'Default' });
writeFileSync(join(state, 'credentials.json'), JSON.stringify({ admin: user('admin'), demo: user('demo') }), { mode: 0o600 });
console.log(JSON.stringify({ time: new Date().toISOString(), msg: 'ready' }));
process.once('SIGTERM', () => process.exit(0));
