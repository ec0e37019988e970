/** The metadata proxy of a namespace as text: HAProxy between its guests and the agent's socket (N-MD-5, N-MD-6). Pure. */
import type { DesiredDaemon } from '#agent/drivers/daemon/plan.ts';

/** Whose guests ask: a router's, or those of a network with a DHCP server. */
export type MetadataAsker = { readonly router_id: string } | { readonly network_id: string };

/** Debian's package brings the user and the group; the agent's socket is open to the group. */
export const HAPROXY_USER = 'haproxy';

/** Where a router's guests are redirected to (N-L3-21). */
export const METADATA_PORT = 9697;

/**
 * Connections of one proxy. A guest gets a few of them and waits for more, so that nobody takes all (per address: a
 * guest has three or four).
 */
const CONNECTIONS = { all: 256, towardsAgent: 64, perAddress: 8 };

/** `socket` is the agent's. */
export function desiredMetadataProxy(folder: string, namespace: string, asker: MetadataAsker, socket: string): Omit<DesiredDaemon, 'program' | 'folder'> {
  return { namespace, args: ['-D', '-f', `${folder}/config`, '-p', `${folder}/pid`], config: config(asker, socket), change: 'successor' };
}

function config(asker: MetadataAsker, socket: string): string {
  const [header, id] = 'router_id' in asker ? ['X-Neutron-Router-ID', asker.router_id] : ['X-Neutron-Network-ID', asker.network_id];
  return `# Written by the Patchbay agent.
global
    user ${HAPROXY_USER}
    group ${HAPROXY_USER}
    maxconn ${CONNECTIONS.all}
    nbthread 1
    tune.bufsize 8192
    tune.maxrewrite 1024

defaults
    mode http
    option http-server-close
    option http-buffer-request
    timeout http-request 10s
    timeout http-keep-alive 10s
    timeout client 30s
    timeout connect 5s
    timeout queue 10s
    timeout server 30s

listen metadata
${binds(asker).map((line) => `    ${line}\n`).join('')}    stick-table type ipv6 size 1k expire 60s store conn_cur
    tcp-request connection track-sc0 src
    tcp-request connection reject if { sc0_conn_cur gt ${CONNECTIONS.perAddress} }
    http-request del-header X-Forwarded -m beg
    http-request del-header X-Neutron -m beg
    http-request del-header X-Instance -m beg
    http-request del-header X-Tenant -m beg
    http-request del-header X-Metadata -m beg
    http-request set-header X-Forwarded-For %[src]
    http-request set-header ${header} ${id}
    server agent unix@${socket} maxconn ${CONNECTIONS.towardsAgent}
`;
}

/**
 * A DHCP server's namespace has the addresses for metadata itself, a router's gets what is redirected to it. No listener
 * is tied to a device: that is another one once it was made anew, and the listener deaf.
 */
function binds(asker: MetadataAsker): string[] {
  if ('router_id' in asker) return [`bind *:${METADATA_PORT}`, `bind :::${METADATA_PORT} v6only`];
  return [
    'bind 169.254.169.254:80', 'bind :::80 v6only',
    'tcp-request connection reject if !{ dst 169.254.169.254 fe80::a9fe:a9fe }',
  ];
}
