/** A whole controller: store, APIs, hosts. Tests start it in-process; `server.ts` is the program. */
import { rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Config } from '#model/config.ts';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';
import { bootstrapCompute } from './compute/bootstrap.ts';
import { neutronCommands } from './compute/neutron.ts';
import { forgetPort } from './compute/server-delete.ts';
import { reportInstance } from './compute/server-report.ts';
import { computeService } from './compute/service.ts';
import { listenForAgents } from './hosts/agents-socket.ts';
import { listenForOperator } from './hosts/control-socket.ts';
import { hostDirectory } from './hosts/directory.ts';
import { Hosts } from './hosts/hosts.ts';
import { createFrame } from './http/frame.ts';
import type { Log } from './http/log.ts';
import { statusLines } from './http/metrics.ts';
import { identityService } from './identity/identity-service.ts';
import { KeystoneAuthenticator } from './identity/keystone-authenticator.ts';
import { imageService } from './image/service.ts';
import { addressGroupsRule } from './network/address-groups.ts';
import { addressScopesRule } from './network/address-scopes.ts';
import { agentsRule, heartbeat } from './network/agents.ts';
import { setPortStatus } from './network/binding.ts';
import { defaultSecurityGroupRulesRule } from './network/default-security-group-rules.ts';
import { defaultStatefulnessRule } from './network/default-statefulness.ts';
import { floatingIpsRule } from './network/floating-ips.ts';
import { hostAgents } from './network/host-agents.ts';
import { freeHostNumber } from './network/host-numbers.ts';
import { askingInstance } from './metadata/asking-instance.ts';
import { metadataSecret } from './metadata/metadata-secret.ts';
import { MetadataService } from './metadata/metadata-service.ts';
import { listenForMetadata } from './metadata/metadata-socket.ts';
import { logsRule } from './network/logs.ts';
import { networksRule } from './network/networks.ts';
import { setObjectStatus } from './network/object-status.ts';
import { portForwardingsRule } from './network/port-forwardings.ts';
import { portHooks, scheduleWaitingDhcp } from './network/port-hooks.ts';
import { portsRule } from './network/ports.ts';
import { rbacPoliciesRule } from './network/rbac-policies.ts';
import type { Rule } from './network/rule.ts';
import { evacuate, scheduleWaitingRouters } from './network/router-scheduling.ts';
import { routersRule } from './network/routers.ts';
import { securityGroupRulesRule } from './network/security-group-rules.ts';
import { securityGroupsRule } from './network/security-groups.ts';
import { syncSegmentPools } from './network/segments.ts';
import { networkService } from './network/service.ts';
import { subnetPoolsRule } from './network/subnet-pools.ts';
import { subnetsRule } from './network/subnets.ts';
import { bootstrapTour } from './tour.ts';

// An import makes Node read every export, and that loads its fetch client: 55 ms.
const { createServer } = process.getBuiltinModule('node:http');

export interface ControllerOptions {
  readonly config: Config;
  /** Folder of store, sockets, images and credentials. */
  readonly state: string;
  readonly log: Log;
}

export class Controller {
  readonly store: Store;
  readonly hosts: Hosts;
  readonly app: FastifyInstance;
  readonly #servers: Server[] = [];
  readonly #closing: (() => void)[] = [];

  private constructor(store: Store, hosts: Hosts, app: FastifyInstance) {
    this.store = store;
    this.hosts = hosts;
    this.app = app;
  }

  /** Starts everything and resolves when the API answers. Throws one line when a setting or an address cannot be used. */
  static async start({ config, state, log }: ControllerOptions): Promise<Controller> {
    const [address, port] = splitListen(config);
    const publicEndpoint = (config.public_endpoint ?? `http://${config.listen}`).replace(/\/+$/, '');
    const store = await openStore(config.connection ?? `sqlite:///${join(state, 'patchbay.db')}`);
    await store.write((tx) => syncSegmentPools(tx, config));

    const identity = identityService({ store, config, stateDir: state, publicEndpoint, log });
    const authenticator = config.keystone ? new KeystoneAuthenticator(config.keystone, log) : identity.authenticator;
    const hooks = portHooks(config);
    const networks = networksRule({ config, hooks });
    const subnets = subnetsRule({ config, hooks });
    const ports = portsRule({ config });
    // A port that goes takes its NIC along, wherever the wish came from.
    const serverPorts: typeof ports = { ...ports, delete: async (tx, context, gone) => {
      await forgetPort(tx, gone);
      await ports.delete(tx, context, gone);
    } };
    const agents = agentsRule({ config, evacuate: (tx, host) => evacuate(tx, config, host) });
    const rules: Rule[] = [networks, subnets, serverPorts, addressScopesRule(), subnetPoolsRule({ config }), securityGroupsRule({ config }), securityGroupRulesRule({ config }), defaultSecurityGroupRulesRule(), defaultStatefulnessRule(), addressGroupsRule(), rbacPoliciesRule({ config }), agents];
    if (config.service_plugins.includes('router')) rules.push(routersRule({ config }), floatingIpsRule({ config }), ...(config.service_plugins.includes('port_forwarding') ? [portForwardingsRule()] : []));
    if (config.service_plugins.includes('log')) rules.push(logsRule());

    const secret = await metadataSecret(store, config);
    const hosts = new Hosts({
      store, config, log, publicEndpoint, metadataInstance: askingInstance(store.reader, config, secret),
      reports: {
        heartbeat: (tx, hello, first) => heartbeat(tx, hello.host, hostAgents(config, hello, first)),
        async joined() {
          await scheduleWaitingDhcp(store, config);
          await scheduleWaitingRouters(store, config);
        },
        portStatus: (tx, { port_id, status, reason, host }) => setPortStatus(tx, port_id, status, reason, host),
        instance: (tx, host, report) => reportInstance(tx, host, report),
        objectStatus: setObjectStatus,
        localVlanFree: async (tx, host, networkId) => void (await freeHostNumber(tx, host, 'local_vlan', networkId)),
      },
    });
    const images = imageService({ store, config, authenticator, publicEndpoint, log, stateDir: state });
    const services = [
      ...(config.keystone ? [] : [identity.service]),
      networkService({ store, config, authenticator, publicEndpoint, rules, cloud: () => hosts.compiled() }),
      computeService({ store, config, authenticator, publicEndpoint, log, network: neutronCommands(config), hosts: hostDirectory(store, config), hostCalls: hosts }),
      images,
    ];
    const app = createFrame({ services, log, metrics: () => statusLines(hosts.status()) });
    const controller = new Controller(store, hosts, app);
    controller.#closing.push(() => identity.close());

    if (!config.keystone) await identity.bootstrap();
    await bootstrapCompute(store, config.bootstrap);
    await images.bootstrap();
    await bootstrapTour(store, config, { networks, subnets });
    await hosts.start();
    await app.listen({ host: address, port });
    const apiSocket = join(state, 'api.sock');
    rmSync(apiSocket, { force: true });
    const local = createServer((request, response) => app.routing(request, response));
    await new Promise<void>((resolve, reject) => local.once('error', reject).listen(apiSocket, resolve));
    const metadata = new MetadataService({ store, world: hosts.compiler.world, secret, tokens: config.metadata_tokens, log });
    controller.#servers.push(await listenForMetadata(join(state, 'metadata.sock'), metadata, log));
    controller.#servers.push(local, await listenForAgents(join(state, 'agents.sock'), hosts, log), await listenForOperator(join(state, 'control.sock'), hosts, store));
    return controller;
  }

  async stop(): Promise<void> {
    await this.hosts.stop();
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
    await this.app.close();
    for (const close of this.#closing) close();
    await this.store.close();
  }
}

/** Plain HTTP leaves loopback only when somebody says so: tokens would be read by anybody on the way. */
function splitListen(config: Config): [string, number] {
  const match = /^\[?([^\]]+)\]?:([0-9]{1,5})$/.exec(config.listen);
  if (!match) throw new Error(`config: listen: '${config.listen}' is not ADDRESS:PORT`);
  const [, address = '', port = ''] = match;
  const loopback = /^127\./.test(address) || address === '::1' || address === 'localhost';
  if (!loopback && !config.insecure) throw new Error(`config: listen: ${address} is not loopback and this is plain HTTP; put a TLS proxy in front, or set insecure: true`);
  return [address, Number(port)];
}
