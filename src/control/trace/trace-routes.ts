/** `POST /v2.0/traces`: why a packet arrives, or does not. For admins, and for projects about their own ports. Documented in docs/trace.md. */
import type { FastifyInstance } from 'fastify';
import { addressGroup } from '#model/address-groups.ts';
import { ApiError } from '#model/errors.ts';
import { network } from '#model/networks.ts';
import { securityGroup } from '#model/security-groups.ts';
import { traceQuestion } from '#model/traces.ts';
import type { Compiler } from '#compile/compiler.ts';
import { printTrace } from '#trace/print.ts';
import { trace } from '#trace/trace.ts';
import type { Context } from '../http/context.ts';
import { parseCreate } from '../network/body.ts';
import { requireAttributes } from '../network/policy.ts';
import { reachedBy } from '../network/rbac-visibility.ts';
import type { Reader } from '#store/store.ts';
import { probeOf, type Question } from './probe-of.ts';
import { redact } from './redact.ts';
import { type Asker, projectOf, tracedCloud } from './traced-cloud.ts';

/** The compiled cloud, once it holds all that is committed now. */
export type CompiledCloud = () => Promise<Pick<Compiler, 'world' | 'stateOf'>>;

export function traceRoutes(app: FastifyInstance, reader: Reader, cloud: CompiledCloud): void {
  app.post('/v2.0/traces', async ({ context, body }) => {
    const { objects } = parseCreate(traceQuestion, context, body);
    const [one] = objects;
    if (objects.length !== 1 || !one) throw new ApiError('HTTPBadRequest', { reason: 'One trace at a time.' });
    await requireAttributes({ resource: traceQuestion } as never, reader, context, 'create', one.named, one.given);
    return { trace: await answer(reader, cloud, context, one.given as Question) };
  });
}

async function answer(reader: Reader, cloud: CompiledCloud, context: Context, question: Question): Promise<unknown> {
  const asker = await askerOf(reader, context);
  const compiler = await cloud();
  const { world } = compiler;
  const foreign = (id: string | null): boolean => id !== null && !context.is_admin && world.get('ports', id)?.project_id !== context.project_id;
  // As if it were not there: ids of others cannot be tried out.
  for (const id of [question.source_port_id, question.destination_port_id]) if (foreign(id)) throw new ApiError('PortNotFound', { id });
  const found = trace(tracedCloud(compiler, asker), probeOf(world, question));
  const shown = context.is_admin ? found : redact(found, (object) => projectOf(world, object) === context.project_id);
  const { verdict, path, reply } = shown;
  return { verdict, path, reply: reply && { verdict: reply.verdict, path: reply.path }, text: printTrace(shown) };
}

/** Undefined for admins, who see all. */
async function askerOf(reader: Reader, context: Context): Promise<Asker | undefined> {
  return context.is_admin ? undefined : { project_id: context.project_id, reached: await reachedBy(reader, [network, securityGroup, addressGroup], context) };
}
