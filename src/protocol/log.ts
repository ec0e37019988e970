/** Structured logs: one JSON object a line, on stdout. Tokens, passwords and keys never go into `fields`. */

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** A log that writes lines by `write`, each with time, level and `service`. */
export function jsonLog(service: string, write: (line: string) => void = (line) => void process.stdout.write(line)): Log {
  const at = (level: string) => (message: string, fields: LogFields = {}) =>
    write(`${JSON.stringify({ time: new Date().toISOString(), level, service, msg: message, ...fields })}\n`);
  return { info: at('info'), warning: at('warning'), error: at('error') };
}
