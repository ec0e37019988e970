/** `patchbay`, the program. Its compiled form is kept, which halves the time until a command runs. */
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/patchbay', import.meta.url)));

// A pipe that its reader closed (`patchbay logs | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]] as const) process.on(signal, () => process.exit(code));
process.exitCode = await (await import('./dispatch.ts')).dispatch(process.argv.slice(2));
