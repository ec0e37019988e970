/** Names of the namespaces that the agent owns: the prefix is the birth mark. */

const DHCP_PREFIX = 'qdhcp-';

/** The namespace of a network's DHCP server (N-DH-2). */
export function dhcpNamespace(networkId: string): string {
  return `${DHCP_PREFIX}${networkId}`;
}

/** The network whose DHCP server lives in `namespace`; `undefined` when it is none of these. */
export function networkOfNamespace(namespace: string): string | undefined {
  return namespace.startsWith(DHCP_PREFIX) ? namespace.slice(DHCP_PREFIX.length) : undefined;
}

const ROUTER_PREFIX = 'qrouter-';

/** The namespace of a router (N-L3-7). */
export function routerNamespace(routerId: string): string {
  return `${ROUTER_PREFIX}${routerId}`;
}

/** The router that lives in `namespace`; `undefined` when it is none of these. */
export function routerOfNamespace(namespace: string): string | undefined {
  return namespace.startsWith(ROUTER_PREFIX) ? namespace.slice(ROUTER_PREFIX.length) : undefined;
}
