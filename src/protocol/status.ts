/** What a controller tells an operator about itself and its hosts: `GET /status` on the control socket. */

export interface Status {
  readonly controller: {
    /** Identity of the store, as in the agents' hello. */
    readonly store: string;
    /** The newest revision that is committed. */
    readonly revision: number;
    /** Where clients find the API, e.g. `http://127.0.0.1:8770`. */
    readonly public_endpoint: string;
    readonly pid: number;
    /** What is wrong with the controller itself, one line each; empty when nothing is. */
    readonly errors: readonly string[];
  };
  /** One entry per host the controller knows or was told to expect, by name. */
  readonly hosts: readonly HostStatus[];
}

export interface HostStatus {
  readonly host: string;
  /** Its agent is connected and has reported within `agent_down_time`. */
  readonly alive: boolean;
  /** The revision up to which this host's state is applied; 0 before the first. */
  readonly applied: number;
  /** The newest revision that concerns this host: the host lags behind while `applied < revision`. */
  readonly revision: number;
  readonly errors: readonly ObjectError[];
  /** Switch ports without traffic of late: userspace Open vSwitch slows with each. */
  readonly idle_ports: number;
}

/** An object that could not be realised, alone, with its reason (law 4). */
export interface ObjectError {
  /** Kind and id, e.g. `port 3f1c…`. */
  readonly object: string;
  readonly reason: string;
}
