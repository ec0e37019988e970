/** The graph: every kind of item, in the order in which an operator would read a host. */
import type { Node } from './node.ts';
import { dhcpHost } from './nodes/dhcp-host.ts';
import { dhcpServer } from './nodes/dhcp-server.ts';
import { floatingIp } from './nodes/floating-ip.ts';
import { flood } from './nodes/flood.ts';
import { forward } from './nodes/forward.ts';
import { instance } from './nodes/instance.ts';
import { log } from './nodes/log.ts';
import { member } from './nodes/member.ts';
import { physnet } from './nodes/physnet.ts';
import { port } from './nodes/port.ts';
import { portForwarding } from './nodes/port-forwarding.ts';
import { router } from './nodes/router.ts';
import { routerPort } from './nodes/router-port.ts';
import { rule } from './nodes/rule.ts';
import { segment } from './nodes/segment.ts';
import { tunnel } from './nodes/tunnel.ts';

export const NODES: readonly Node<any>[] = [physnet, segment, tunnel, flood, forward, port, rule, member, log, dhcpServer, dhcpHost, router, routerPort, floatingIp, portForwarding, instance];
