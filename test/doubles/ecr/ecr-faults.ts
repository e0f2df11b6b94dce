// Faults and holds that tests set on the ECR double.

/** A fault of AWS or of the network. */
export type Fault =
  /** An AWS error by its code; 400 unless set otherwise. */
  | { readonly error: string; readonly status?: number }
  /** Never responds. */
  | 'hang'
  /** Responds with headers and half a body, then hangs. */
  | 'hang-in-body'
  /** Resets the connection without a response. */
  | 'reset'
  | 'html'
  /** Responds with 403 and an HTML page, as a proxy that requires a login does. */
  | 'forbidden-page'
  | 'not-json'
  | 'not-base64'
  | 'wrong-user'
  | 'empty-password'
  | 'line-break'
  | 'expired'
  | 'no-expiry'
  | 'no-data';

/** Selects the requests of a fault or hold; a missing field matches all. */
export interface FaultScope {
  readonly operation?: string;
  readonly region?: string;
  readonly roleArn?: string;
  /** Max number of requests. */
  readonly times?: number;
}

/** The properties of a request that a fault can select. */
export interface RequestScope {
  readonly operation: string;
  readonly region: string;
  readonly roleArn: string | undefined;
}

/** Delays requests until it is opened. */
export interface Gate {
  /** Number of requests that wait. */
  readonly waiting: number;
  open(): void;
}

/** The current faults and gates, the newest first. */
export class EcrFaults {
  #faults: { fault: Fault; where: FaultScope; left: number }[] = [];
  #gates: { where: FaultScope; opened: Promise<void>; waiting: number }[] = [];

  add(fault: Fault, where: FaultScope): void {
    this.#faults.unshift({ fault, where, left: where.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#faults = [];
  }

  /** Returns the fault for a request, and counts it as used. */
  take(request: RequestScope): Fault | undefined {
    const found = this.#faults.find(({ where, left }) => left > 0 && matches(where, request));
    if (found === undefined) {
      return undefined;
    }
    found.left -= 1;
    return found.fault;
  }

  hold(where: FaultScope): Gate {
    const { promise, resolve } = Promise.withResolvers<void>();
    const gate = { where, opened: promise, waiting: 0 };
    this.#gates.push(gate);
    return {
      get waiting() {
        return gate.waiting;
      },
      open: () => {
        this.#gates = this.#gates.filter((other) => other !== gate);
        resolve();
      },
    };
  }

  /** Resolves when every gate for the request is open. */
  async waitForGate(request: RequestScope): Promise<void> {
    for (const gate of this.#gates.filter(({ where }) => matches(where, request))) {
      gate.waiting += 1;
      await gate.opened;
    }
  }
}

function matches(where: FaultScope, request: RequestScope): boolean {
  return (
    (where.operation === undefined || where.operation === request.operation) &&
    (where.region === undefined || where.region === request.region) &&
    (where.roleArn === undefined || where.roleArn === request.roleArn)
  );
}
