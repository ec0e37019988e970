/** Servers and networks in a store, and what the metadata side of the controller makes of them: without hosts and sockets. */
import { Compiler } from '#compile/compiler.ts';
import type { World } from '#compile/world.ts';
import { bootstrapCompute } from '#control/compute/bootstrap.ts';
import { loadIntent } from '#control/hosts/intent.ts';
import { type MetadataRequest, MetadataService } from '#control/metadata/metadata-service.ts';
import { instanceSignature } from '#control/metadata/signature.ts';
import { createPorts, type NewPort } from '#control/network/port-create.ts';
import { BUILT_IN_IMAGES } from '#model/images.ts';
import type { Config } from '#model/config.ts';
import type { Network, Port } from '#model/networks.ts';
import type { Store } from '#store/store.ts';
import { type ComputeApi, computeApi } from './compute-api.ts';
import { config, contextOf, insertNetwork, insertSubnet } from './network-rows.ts';

export const SECRET = 'the operator’s';

export interface MetadataAnswerText {
  readonly status: number;
  readonly text: string;
  readonly bytes: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

export interface MetadataCloud extends ComputeApi {
  /** A network with the subnet; host `compute1` serves its DHCP. */
  network(cidr: string, given?: Partial<Network>): Promise<Network>;
  port(who: string, given: Partial<NewPort> & { network_id: string }): Promise<Port>;
  boot(who: string, attributes: Record<string, unknown>): Promise<{ readonly id: string }>;
  /** As the store is now. */
  world(): Promise<World>;
  /** Asks for an instance with the headers that an agent sets; `headers` replaces them. */
  ask(instance: { readonly id: string; readonly project: string }, path: string, given?: Partial<MetadataRequest> & { tokens?: Config['metadata_tokens'] }): Promise<MetadataAnswerText>;
}

export async function metadataCloud(store: Store, run: (cloud: MetadataCloud) => Promise<void>): Promise<void> {
  const api = await computeApi(store);
  const log = { info() {}, warning() {}, error() {} };
  const world = async (): Promise<World> => {
    const compiler = new Compiler(config);
    compiler.apply(await loadIntent(store.reader));
    return compiler.world;
  };
  try {
    await bootstrapCompute(store, 'tour');
    const { flavors } = await api.ok('demo', 'GET', '/compute/v2.1/flavors');
    const flavorRef = flavors.find(({ name }: { name: string }) => name === 'm1.nano').id;
    await run({
      ...api, world,
      network: (cidr, given) => store.write(async (tx) => {
        const made = await insertNetwork(tx, given);
        await insertSubnet(tx, made, cidr);
        await tx.db.insertInto('network_dhcp_bindings').values({ network_id: made.id, host: 'compute1', port_id: crypto.randomUUID() }).execute();
        return made;
      }),
      port: (who, given) => store.write(async (tx) => (await createPorts(tx, config, contextOf(who, { admin: true }), [{ project_id: who, ...given }]))[0]!),
      boot: async (who, attributes) => (await api.ok(who, 'POST', '/compute/v2.1/servers', { server: { name: 'web', flavorRef, imageRef: BUILT_IN_IMAGES[0].id, ...attributes } }, { 'x-openstack-nova-api-version': '2.32' })).server,
      async ask({ id, project }, path, { tokens = 'optional', headers = {}, ...given } = {}) {
        const service = new MetadataService({ store, world: await world(), secret: SECRET, tokens, log });
        const answer = await service.answer({
          method: 'GET', url: path, body: Buffer.alloc(0), ...given,
          headers: { 'x-forwarded-for': ['10.0.0.5'], 'x-instance-id': [id], 'x-tenant-id': [project], 'x-instance-id-signature': [instanceSignature(SECRET, id)], ...headers },
        });
        const bytes = Buffer.from(answer.body as string);
        return { status: answer.status, text: bytes.toString(), bytes, headers: answer.headers ?? {} };
      },
    });
  } finally {
    await api.close();
  }
}
