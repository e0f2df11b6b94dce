// Bounds how many hosts reviews wait for, in all and for one namespace.

/** Counts the hosts of reviews whose work is in progress. */
export class PendingHostCounter {
  readonly #max: number;
  readonly #maxPerNamespace: number;
  readonly #byNamespace = new Map<string, number>();
  #total = 0;

  constructor(max: number, maxPerNamespace: number) {
    this.#max = max;
    this.#maxPerNamespace = maxPerNamespace;
  }

  /** False: these would be too many, and are not counted. */
  tryAdd(namespace: string, hosts: number): boolean {
    const inNamespace = (this.#byNamespace.get(namespace) ?? 0) + hosts;
    if (inNamespace > this.#maxPerNamespace || this.#total + hosts > this.#max) {
      return false;
    }
    this.#byNamespace.set(namespace, inNamespace);
    this.#total += hosts;
    return true;
  }

  /** Takes back what `begin` counted. */
  remove(namespace: string, hosts: number): void {
    const remaining = (this.#byNamespace.get(namespace) ?? 0) - hosts;
    if (remaining > 0) {
      this.#byNamespace.set(namespace, remaining);
    } else {
      this.#byNamespace.delete(namespace);
    }
    this.#total -= hosts;
  }
}
