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
