/** `patchbay`, the program. */
import { dispatch } from './dispatch.ts';

// A pipe that its reader closed (`patchbay logs | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]] as const) process.on(signal, () => process.exit(code));
process.exitCode = await dispatch(process.argv.slice(2));
