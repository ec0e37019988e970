/** Virtual routers of a host: each its namespace `qrouter-<id>`, with legs, NAT, routes (N-L3-7…17). */

export interface Route {
  /** A prefix in canonical form. */
  readonly destination: string;
  readonly nexthop: string;
}

export interface RouterItem {
  readonly type: 'router';
  readonly router_id: string;
  readonly project_id: string;
  /** Extra routes (extension extraroute). */
  readonly routes: readonly Route[];
  /** What leaves by the gateway without a floating IP gets the gateway's address (N-L3-10). */
  readonly enable_snat: boolean;
  /** Requests to 169.254.169.254 and fe80::a9fe:a9fe on port 80 go to the proxy on port 9697 (N-L3-21, N-MD-15). */
  readonly metadata: boolean;
}

/** An IPv6 prefix that a leg announces. */
export interface Advertisement {
  readonly cidr: string;
  readonly mode: 'slaac' | 'dhcpv6-stateless' | 'dhcpv6-stateful';
  readonly dns_nameservers: readonly string[];
}

/** A leg of a router, plugged into br-int as the port of the same id. */
export interface RouterPortItem {
  readonly type: 'router-port';
  readonly router_id: string;
  readonly port_id: string;
  /** `gateway` leads to the external network. */
  readonly role: 'gateway' | 'interface';
  /** `qr-` or `qg-` and the first 11 characters of the port id. */
  readonly device: string;
  readonly mac_address: string;
  readonly mtu: number;
  /** With prefix: `172.18.0.1/24`. */
  readonly addresses: readonly string[];
  /** Of the gateway: next hops of the default routes, at most one for each version. */
  readonly gateway_ips: readonly string[];
  /** Of the gateway: prefixes of the external network that are on the link beside its own. */
  readonly onlink: readonly string[];
  /** Ids of the address scopes of its subnets; null is none (N-L3-13). */
  readonly address_scopes: { readonly ipv4: string | null; readonly ipv6: string | null };
  readonly advertisements: readonly Advertisement[];
}

/** An address on a router's gateway leg (N-L3-16). */
export interface FloatingIpItem {
  readonly type: 'floating-ip';
  readonly router_id: string;
  readonly floatingip_id: string;
  readonly floating_ip_address: string;
  /** Both ways translated to this (N-L3-17); null where only single ports of it are forwarded. */
  readonly fixed_ip_address: string | null;
}

/** Ports of a floating IP that lead to ports of one server. */
export interface PortForwardingItem {
  readonly type: 'port-forwarding';
  readonly router_id: string;
  readonly port_forwarding_id: string;
  readonly floating_ip_address: string;
  /** As nft names it. */
  readonly protocol: string;
  readonly external_first: number;
  readonly external_last: number;
  readonly internal_ip_address: string;
  readonly internal_first: number;
  /** As many as external ones, or one for all of them. */
  readonly internal_last: number;
}
