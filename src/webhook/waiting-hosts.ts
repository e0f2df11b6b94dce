// Bounds how many hosts reviews wait for, in all and for one namespace.

/** Counts the hosts of reviews whose work is in progress. */
export class WaitingHosts {
  readonly #max: number;
  readonly #maxPerNamespace: number;
  readonly #byNamespace = new Map<string, number>();
  #total = 0;

  constructor(max: number, maxPerNamespace: number) {
    this.#max = max;
    this.#maxPerNamespace = maxPerNamespace;
  }

  /** False: these would be too many, and are not counted. */
  begin(namespace: string, hosts: number): boolean {
    const ofNamespace = (this.#byNamespace.get(namespace) ?? 0) + hosts;
    if (ofNamespace > this.#maxPerNamespace || this.#total + hosts > this.#max) {
      return false;
    }
    this.#byNamespace.set(namespace, ofNamespace);
    this.#total += hosts;
    return true;
  }

  /** Takes back what `begin` counted. */
  end(namespace: string, hosts: number): void {
    const left = (this.#byNamespace.get(namespace) ?? 0) - hosts;
    if (left > 0) {
      this.#byNamespace.set(namespace, left);
    } else {
      this.#byNamespace.delete(namespace);
    }
    this.#total -= hosts;
  }
}
