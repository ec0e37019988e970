/**
 * The controller's composition root: `control/server.ts --config FILE --state DIR`. Opens the store, mounts the APIs,
 * leads the hosts. The only file of this room that knows every service.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { config: { type: 'string' }, state: { type: 'string' } } });
const state = values.state;
if (!state) {
  process.stderr.write('server: --state is missing: name the folder that holds the store\n');
  process.exit(2);
}
// The store holds password hashes and signing keys: what we make is root's alone.
process.umask(0o077);
mkdirSync(state, { recursive: true });
enableCompileCache(join(state, 'compile-cache'));
// After the cache is on: everything below is loaded through it.
const { Controller } = await import('./controller.ts');
const { loadConfig } = await import('#model/config.ts');
const { jsonLog } = await import('#protocol/log.ts');

const log = jsonLog('controller');
try {
  const config = loadConfig(values.config ? readFileSync(values.config, 'utf8') : '');
  const controller = await Controller.start({ config, state, log });
  log.info('ready', { listen: config.listen, ms: Math.round(performance.now()) });
  // It stands still while it writes, at a first start for half a second: not while the agents join.
  setTimeout(() => flushCompileCache(), 10_000).unref();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void controller.stop().finally(() => process.exit(0)));
} catch (error) {
  log.error((error as Error).message, (error as Error).message.startsWith('config:') ? {} : { error: String((error as Error).stack) });
  process.exit(1);
}
process.on('uncaughtException', (error) => log.error('uncaught', { error: String(error.stack) }));
process.on('unhandledRejection', (error) => log.error('unhandled', { error: String((error as Error)?.stack ?? error) }));
