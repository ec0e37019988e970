/** What the switch of a host shall know: segments, tunnels, who is where. */

/** A network that has ports on this host. */
export interface SegmentItem {
  readonly type: 'segment';
  readonly network_id: string;
  /** The host's own number for it: the access tag on br-int and the ct zone (N-OVS-5, N-OVS-6). */
  readonly local_vlan: number;
  readonly network_type: string;
  readonly physical_network: string | null;
  readonly segmentation_id: number | null;
  readonly mtu: number;
  /** Connections that were admitted by a rule that is gone: `cut` unless another rule admits them, as Neutron does; or `keep` them all (decision X-6). */
  readonly connections_of_removed_rules: 'cut' | 'keep';
}

/** A peer whose tunnel endpoint this host sends to. */
export interface TunnelItem {
  readonly type: 'tunnel';
  readonly network_type: string;
  readonly host: string;
  readonly remote_ip: string;
}

/** Broadcast, multicast and unknown unicast of a network go to this peer (N-VX-4). */
export interface FloodItem {
  readonly type: 'flood';
  readonly network_id: string;
  readonly network_type: string;
  readonly remote_ip: string;
}

/** A port on another host: where its MAC is, and its addresses, which the ARP responder answers for (N-VX-9). */
export interface ForwardItem {
  readonly type: 'forward';
  readonly network_id: string;
  readonly network_type: string;
  readonly port_id: string;
  readonly mac_address: string;
  readonly ip_addresses: readonly string[];
  readonly remote_ip: string;
}

/** A physical network and the bridge that leads to it. */
export interface PhysnetItem {
  readonly type: 'physnet';
  readonly physical_network: string;
  readonly bridge: string;
}
