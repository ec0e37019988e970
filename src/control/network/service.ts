/** The Networking API v2.0 as a service of the HTTP frame. */
import type { FastifyInstance } from 'fastify';
import type { Config } from '#model/config.ts';
import type { ApiError } from '#model/errors.ts';
import type { Store } from '#store/store.ts';
import type { Authenticator } from '../http/context.ts';
import { requireToken, type Service } from '../http/frame.ts';
import { agentRoutes } from './agent-routes.ts';
import { Collection } from './collection.ts';
import { floatingIpPoolRoutes } from './floatingip-pools.ts';
import { quotaRoutes } from './quota-routes.ts';
import { loggableResourceRoutes } from './logs.ts';
import type { Rule } from './rule.ts';
import { subnetPoolRoutes } from './subnet-pool-routes.ts';
import { type CompiledCloud, traceRoutes } from '../trace/trace-routes.ts';
import { tagRoutes } from './tags.ts';
import { discoveryRoutes, versionRoute } from './versions.ts';

export interface NetworkServiceOptions {
  readonly store: Store;
  readonly config: Config;
  readonly authenticator: Authenticator;
  /** `http://127.0.0.1:8770`, as clients reach the listener; the API lives below its `/network`. */
  readonly publicEndpoint: string;
  /** All resources of the API; `networks` and `agents` must be among them. */
  readonly rules: readonly Rule[];
  /** What traces are made from; without it there are none. */
  readonly cloud?: CompiledCloud;
}

const PREFIX = '/network';

export function networkService({ store, config, authenticator, publicEndpoint, rules, cloud }: NetworkServiceOptions): Service {
  const url = `${publicEndpoint.replace(/\/$/, '')}${PREFIX}`;
  return {
    prefix: PREFIX,
    envelope: neutronError,
    routes(app) {
      versionRoute(app, url);
      void app.register(async (scope: FastifyInstance) => {
        scope.addHook('onRequest', requireToken(authenticator, `${publicEndpoint}/identity`));
        const collections: Collection[] = [];
        const byName = (name: string) => collections.find(({ resource }) => resource.collection === name);
        // A parent stands before what is below it.
        for (const rule of rules) collections.push(new Collection(rule, { store, config, url }, rule.parent === undefined ? undefined : byName(rule.parent)));
        discoveryRoutes(scope, url, config, collections.filter(({ parent }) => !parent));
        for (const collection of collections) {
          collection.routes(scope);
          tagRoutes(scope, store, collection);
          subnetPoolRoutes(scope, collection);
        }
        agentRoutes(scope, { store, config, agents: byName('agents')!, networks: byName('networks')!, routers: byName('routers') });
        quotaRoutes(scope, store, config);
        if (cloud) traceRoutes(scope, store.reader, cloud);
        if (config.service_plugins.includes('router')) floatingIpPoolRoutes(scope, store);
        if (config.service_plugins.includes('log')) loggableResourceRoutes(scope);
      });
    },
  };
}

function neutronError({ type, message, detail }: ApiError): unknown {
  return { NeutronError: { type, message, detail } };
}
