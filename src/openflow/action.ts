/** What a flow does with its packets. An empty list drops them. */
import type { Field, Subfield } from './field.ts';

export type Action =
  /** To a port, or to a reserved one of `PORT`: IN_PORT, NORMAL, FLOOD, ALL, LOCAL, CONTROLLER. */
  | { readonly type: 'output'; readonly port: number }
  | { readonly type: 'output_reg'; readonly src: Subfield }
  /**
   * A copy to whoever listens for packets, unless meter `meter_id` holds it back: the packet itself goes on. Without a
   * meter it is an output to `PORT.CONTROLLER`. There is no max_len: Open vSwitch keeps no packets, so it sends whole ones.
   */
  | { readonly type: 'controller'; readonly meter_id: number }
  | { readonly type: 'group'; readonly group: number }
  /** Looks the packet up in `table` (this one when absent), as if it came from `in_port`, then comes back. */
  | { readonly type: 'resubmit'; readonly in_port?: number; readonly table?: number }
  /** An instruction: always the last of the list. */
  | { readonly type: 'goto_table'; readonly table: number }
  /** An instruction: always the first of the list. */
  | { readonly type: 'meter'; readonly meter: number }
  /** Sets a whole field (OpenFlow's own action); parts of one are `load`. */
  | { readonly type: 'set_field'; readonly field: Field; readonly value: bigint }
  | { readonly type: 'load'; readonly dst: Subfield; readonly value: bigint }
  | { readonly type: 'move'; readonly src: Subfield; readonly dst: Subfield }
  | { readonly type: 'push_vlan'; readonly ethertype: number }
  | { readonly type: 'strip_vlan' }
  | { readonly type: 'dec_ttl' }
  | { readonly type: 'set_queue'; readonly queue: number }
  | CtAction
  | { readonly type: 'ct_clear' }
  /** Clause `clause` (from 1) of the `clauses` of conjunction `id`. */
  | { readonly type: 'conjunction'; readonly id: number; readonly clause: number; readonly clauses: number }
  | LearnAction
  /** Hex of an action or instruction that this library does not know: only in flows that somebody else wrote. */
  | { readonly type: 'unknown'; readonly instruction: boolean; readonly hex: string };

/** Passes the packet through the connection tracker. */
export interface CtAction {
  readonly type: 'ct';
  readonly commit?: boolean;
  /** With `commit`: an existing connection is replaced by this one. */
  readonly force?: boolean;
  /** Where the tracked copy goes on; without, the packet stays untracked. */
  readonly table?: number;
  readonly zone?: number | Subfield;
  readonly nat?: Nat;
  /** Run on the connection, with `commit`: loads of ct_mark and ct_label. */
  readonly exec?: readonly Action[];
  /** Well-known port of a protocol whose related connections shall be recognised: 21 = ftp, 69 = tftp. */
  readonly alg?: number;
}

export interface Nat {
  /** Absent: translate packets of connections that are translated already. */
  readonly kind?: 'src' | 'dst';
  readonly addresses?: { readonly version: 4 | 6; readonly first: bigint; readonly last?: bigint };
  readonly ports?: { readonly first: number; readonly last?: number };
  readonly persistent?: boolean;
  readonly hash?: boolean;
  readonly random?: boolean;
}

/** Adds a flow to `table` for each packet that passes; an equal flow is refreshed. */
export interface LearnAction {
  readonly type: 'learn';
  readonly table: number;
  readonly idle_timeout: number;
  readonly hard_timeout: number;
  readonly fin_idle_timeout: number;
  readonly fin_hard_timeout: number;
  readonly priority: number;
  readonly cookie: bigint;
  readonly send_flow_rem: boolean;
  readonly delete_learned: boolean;
  readonly specs: readonly LearnSpec[];
}

export type LearnSource = { readonly subfield: Subfield } | { readonly value: bigint };

export type LearnSpec =
  /** The learned flow matches `dst` against the source, taken from the packet now. */
  | { readonly type: 'match'; readonly dst: Subfield; readonly src: LearnSource }
  | { readonly type: 'load'; readonly dst: Subfield; readonly src: LearnSource }
  | { readonly type: 'output'; readonly src: Subfield };
