/**
 * The error registry: every error a client can get, by its type as OpenStack spells it, with its HTTP status
 * and a message that says what happened, to what, and what to do next. A service wraps it in its own envelope.
 */
import { COMPUTE_ERRORS } from './errors-compute.ts';
import { IDENTITY_ERRORS } from './errors-identity.ts';
import { NETWORK_ERRORS } from './errors-network.ts';

/** Status and message; `{name}` in the message is replaced by the parameter of that name. */
export type ErrorEntry = readonly [status: number, message: string];

const REGISTRY = { ...NETWORK_ERRORS, ...IDENTITY_ERRORS, ...COMPUTE_ERRORS } as const satisfies Record<string, ErrorEntry>;

export type ErrorType = keyof typeof REGISTRY;

/** An error for the client: thrown anywhere below the HTTP layer, answered by it. Never carries a stack to the wire. */
export class ApiError extends Error {
  readonly type: ErrorType;
  readonly status: number;
  /** Neutron's third field: empty unless there is more to say. */
  readonly detail: string;

  constructor(type: ErrorType, params: Readonly<Record<string, unknown>> = {}, detail = '') {
    const [status, message] = REGISTRY[type] as ErrorEntry;
    super(message.replace(/\{(\w+)\}/g, (_, name: string) => String(params[name] ?? '')));
    this.name = type;
    this.type = type;
    this.status = status;
    this.detail = detail;
  }
}

/** All entries, for the docs and the test that reads them. */
export function errorRegistry(): ReadonlyMap<string, ErrorEntry> {
  return new Map(Object.entries(REGISTRY));
}
