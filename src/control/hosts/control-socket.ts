/** The operator's own door: a unix socket that only root may open. Answers `patchbay status`, `wait`, `exec` and `trace`. */
import { chmodSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { server as serverResource } from '#model/compute.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { operatorTrace } from '../trace/operator-trace.ts';
import type { Hosts } from './hosts.ts';

// An import makes Node read every export, and that loads its fetch client: 55 ms.
const { createServer } = process.getBuiltinModule('node:http');

const servers = new Table(serverResource);

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** `GET /status`, `GET /wait?timeout=S`, `GET /instance?server=NAME_OR_ID`, `GET /hoststate?host=NAME` (the compiled state), `GET /trace?from=…&to=…`, as src/cli/status.ts describes them. */
export async function listenForOperator(path: string, hosts: Hosts, store: Store): Promise<Server> {
  const answer = async (url: URL): Promise<Answer> => {
    switch (url.pathname) {
      case '/status': return { status: 200, body: await hosts.statusNow() };
      case '/wait': {
        const seconds = Number(url.searchParams.get('timeout') ?? '60');
        const result = await hosts.waitApplied((Number.isFinite(seconds) ? Math.max(0, seconds) : 60) * 1000);
        return { status: result.waiting.length === 0 ? 200 : 504, body: result };
      }
      case '/hoststate': return { status: 200, body: { items: [...hosts.compiler.stateOf(url.searchParams.get('host') ?? '').values()] } };
      case '/trace': return operatorTrace(() => hosts.compiled(), url.searchParams).then((body) => ({ status: 200, body }), (error: Error) => ({ status: 400, body: { error: error.message } }));
      case '/instance': return findInstance(store, url.searchParams.get('server') ?? '');
      default: return { status: 404, body: { error: `there is no ${url.pathname}` } };
    }
  };
  const listener = createServer((request, response) => {
    void answer(new URL(request.url ?? '/', 'http://control')).catch((error: Error): Answer => ({ status: 500, body: { error: error.message } })).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => listener.once('error', reject).listen(path, resolve));
  chmodSync(path, 0o600);
  return listener;
}

async function findInstance(store: Store, nameOrId: string): Promise<Answer> {
  const byId = await servers.get(store.reader, nameOrId);
  const found = byId ? [byId] : await servers.list(store.reader, { filters: { name: [nameOrId] } });
  const [one] = found;
  if (!one) return { status: 404, body: { error: `there is no server '${nameOrId}'; openstack server list --all-projects shows all` } };
  if (found.length > 1) return { status: 409, body: { error: `${found.length} servers are called '${nameOrId}'; use an id: ${found.map(({ id }) => id).join(', ')}` } };
  if (one.host === null) return { status: 409, body: { error: `server '${nameOrId}' is on no host: ${one.fault?.message ?? 'it was never scheduled'}` } };
  return { status: 200, body: { host: one.host, server_id: one.id, name: one.name } };
}
