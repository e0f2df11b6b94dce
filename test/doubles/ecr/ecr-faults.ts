/** Something that AWS, or the way to it, does wrong on command. */
export type Fault =
  /** An AWS error by its code; 400 unless set otherwise. */
  | { readonly error: string; readonly status?: number }
  /** No answer, ever. */
  | 'hang'
  /** Headers and half a body, then nothing. */
  | 'hang-in-body'
  /** The connection is reset without an answer. */
  | 'cut'
  | 'html'
  /** 403 and a page, as of a proxy that wants a sign-in. */
  | 'forbidden-page'
  | 'not-json'
  | 'not-base64'
  | 'wrong-user'
  | 'empty-password'
  | 'line-break'
  | 'ended'
  | 'no-end'
  | 'no-data';

/** Which requests a fault or a hold is for; what is not given matches all. */
export interface FaultScope {
  readonly operation?: string;
  readonly region?: string;
  readonly roleArn?: string;
  /** How many requests it is for. */
  readonly times?: number;
}

/** What a request is, as far as a fault may ask. */
export interface RequestScope {
  readonly operation: string;
  readonly region: string;
  readonly roleArn: string | undefined;
}

/** Holds requests back until it is opened. */
export interface Gate {
  /** How many requests stand before it. */
  readonly waiting: number;
  open(): void;
}

/** The faults and gates that are set, the newest first. */
export class EcrFaults {
  #faults: { fault: Fault; where: FaultScope; left: number }[] = [];
  #gates: { where: FaultScope; opened: Promise<void>; waiting: number }[] = [];

  add(fault: Fault, where: FaultScope): void {
    this.#faults.unshift({ fault, where, left: where.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#faults = [];
  }

  /** The fault for a request, counted as used. */
  take(asked: RequestScope): Fault | undefined {
    const found = this.#faults.find(({ where, left }) => left > 0 && matches(where, asked));
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

  /** Comes back when every gate before the request is open. */
  async waitForGate(asked: RequestScope): Promise<void> {
    for (const gate of this.#gates.filter(({ where }) => matches(where, asked))) {
      gate.waiting += 1;
      await gate.opened;
    }
  }
}

function matches(where: FaultScope, asked: RequestScope): boolean {
  return (
    (where.operation === undefined || where.operation === asked.operation) &&
    (where.region === undefined || where.region === asked.region) &&
    (where.roleArn === undefined || where.roleArn === asked.roleArn)
  );
}
