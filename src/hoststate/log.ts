/** Which packets of the host's ports are written down. */

/** A log that concerns a port of this host. */
export interface LogItem {
  readonly type: 'log';
  readonly port_id: string;
  readonly log_id: string;
  readonly event: 'ACCEPT' | 'DROP' | 'ALL';
  /** Of accepted packets, only those that rules of this group admitted; null is every group. */
  readonly security_group_id: string | null;
}
