// Finds the last error of each host in the Events that the program created about pull Secrets. Pure.
import { findHostNameProblem } from '../ecr/host-name.ts';
import type { ListedEvent } from '../kube/event-list.ts';
import { productName } from '../labels.ts';

/** An error that an Event reports. It is untrusted, because users may create Events in their namespaces. */
export interface ReportedError {
  readonly text: string;
  /** When it was reported, in ms since the epoch. */
  readonly at: number;
  /** Retrying does not help. */
  readonly isPermanent: boolean;
}

/** Maximum number of errors that are kept in all and of one namespace. The program reports five hosts of a namespace at a time. */
const maxErrors = { all: 50_000, perNamespace: 50 };

/** `HOST: CAUSE` or `HOST (and N more hosts in this namespace): CAUSE`, as the program writes it. */
const messagePattern = /^(\S{1,200}?)(?: \(and \d{1,4} more hosts? in this namespace\))?: (.+)$/s;

/** Collects the Events about pull Secrets. */
export class TokenErrors {
  readonly #errors = new Map<string, Map<string, ReportedError>>();
  readonly #full = new Map<string, ReportedError>();
  #count = 0;

  add({ namespace, reason, message, source, at }: ListedEvent): void {
    if (source !== productName) {
      return;
    }
    if (reason === 'PullSecretFull') {
      this.#addFull(namespace, { text: message, at, isPermanent: true });
    } else if (reason === 'PullTokenRefused' || reason === 'PullTokenRenewalFailed') {
      const [, host, text] = messagePattern.exec(message) ?? [];
      if (host !== undefined && text !== undefined && findHostNameProblem(host) === undefined) {
        this.#addError(namespace, host, { text, at, isPermanent: reason === 'PullTokenRefused' });
      }
    }
  }

  /** The last error of a host; undefined: none was reported since `since`, in ms since the epoch. */
  find(namespace: string, host: string, since: number): ReportedError | undefined {
    const error = this.#errors.get(namespace)?.get(host);
    return error !== undefined && error.at >= since ? error : undefined;
  }

  /** All errors by namespace and host. */
  entries(): Iterable<readonly [namespace: string, hosts: ReadonlyMap<string, ReportedError>]> {
    return this.#errors;
  }

  /** Why a Secret had no room for a host, as last reported. */
  findFull(namespace: string): ReportedError | undefined {
    return this.#full.get(namespace);
  }

  #addFull(namespace: string, error: ReportedError): void {
    const known = this.#full.get(namespace);
    if (known === undefined ? this.#full.size < maxErrors.all : known.at < error.at) {
      this.#full.set(namespace, error);
    }
  }

  #addError(namespace: string, host: string, error: ReportedError): void {
    const hosts = this.#errors.get(namespace) ?? new Map<string, ReportedError>();
    const known = hosts.get(host);
    if (known !== undefined) {
      if (known.at < error.at) {
        hosts.set(host, error);
      }
    } else if (this.#count < maxErrors.all && hosts.size < maxErrors.perNamespace) {
      this.#count += 1;
      this.#errors.set(namespace, hosts.set(host, error));
    }
  }
}
