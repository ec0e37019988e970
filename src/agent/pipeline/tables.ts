/**
 * The pipelines as a program: every table and register of the three bridges, in the order in which packets meet them.
 * Names and numbers are Neutron's (N-OVS-13, N-VX-3), so that an operator who knows Neutron reads our dump-flows.
 * docs/design/ovs-pipeline.md has a section per table; add one when you add a table.
 */

/** br-int. */
export const INT = {
  /** From the wire: drops what it does not know; sorts by port and VLAN. */
  LOCAL_SWITCHING: 0,
  /** Holds one flow; its absence tells that the switch restarted. */
  CANARY: 23,
  ARP_SPOOF: 24,
  MAC_SPOOF: 25,
  /** Turns port and VLAN into registers. */
  TRANSIENT: 60,
  /** Copies a broadcast or multicast frame to every port that shall judge it. */
  MULTICAST: 62,
  BASE_EGRESS: 71,
  RULES_EGRESS: 72,
  ACCEPT_OR_INGRESS: 73,
  BASE_INGRESS: 81,
  RULES_INGRESS: 82,
  ACCEPTED_INGRESS: 92,
  DROPPED: 93,
  /** Leaves for ports that no filter guards, or for the network's uplink. */
  ACCEPTED_EGRESS: 94,
} as const;

/** br-tun. */
export const TUN = {
  CLASSIFIER: 0,
  FROM_INT: 2,
  GRE: 3,
  VXLAN: 4,
  GENEVE: 6,
  LEARN: 10,
  UNICAST: 20,
  ARP_RESPONDER: 21,
  FLOOD: 22,
} as const;

/** Tunnel type → the table that translates its ids. */
export const TUN_TABLE: Readonly<Record<string, number>> = { gre: TUN.GRE, vxlan: TUN.VXLAN, geneve: TUN.GENEVE };

/** Registers of br-int. reg5: the port in question (source on the way out of it, destination on the way in). */
export const REG_PORT = 'NXM_NX_REG5[]';
/** The network: its local VLAN, which is also its conntrack zone. */
export const REG_NET = 'NXM_NX_REG6[]';
/** 1 when the frame came from the uplink: it must not go back there. */
export const REG_UPLINK = 'NXM_NX_REG7[]';
/** The number (`conj_id`) of the rule that admitted the packet: only on its way out of or into a port whose accepted packets are logged. */
export const REG_RULE = 'NXM_NX_REG8[]';
/** What the flow log knows of the packet so far: the bits of `LOG_BIT` in log-flows.ts. Zero on the ways of ports that are not logged. */
export const REG_LOG = 'NXM_NX_REG9[]';
export const ZONE = 'zone=NXM_NX_REG6[0..15]';

/** The birth mark of our flows: "Patchbay" in ASCII. What a learn action adds carries the other one, and is left alone. */
export const COOKIE = 0x5061746368626179n;
export const LEARNED_COOKIE = 0x506174636862614cn;

/** The meter of br-int that copies for the flow log pass. */
export const LOG_METER = 1;

/** The tag of a port that is plugged and not yet wired: OVS delivers nothing to it and takes nothing from it. */
export const DEAD_VLAN = 4095;
