import type { ClusterConfig } from '../kube/client.ts';
import type { KubeError } from '../kube/errors.ts';
import type { ObjectError } from '../kube/object-error.ts';
import { createServiceAccountApi } from '../kube/service-accounts.ts';
import { ActionBackoff } from './action-retries.ts';
import { ClusterCache } from './cluster-cache.ts';
import { createInformers, type ProvisioningInformers } from './cluster-watches.ts';
import { type ActionDependencies, createActionExecutor, type ExecuteAction } from './provisioning-actions.ts';
import { type Action, planActions } from './provisioning-plan.ts';

export interface ProvisioningDependencies
  extends Pick<ActionDependencies, 'settings' | 'secretCache' | 'secrets' | 'log'> {
  readonly config: ClusterConfig;
  /** Resolves when the view knows the Secrets that there are. */
  whenSynced(): Promise<void>;
  /** Called for each failure of a watch, which is then taken up again. */
  onWatchError(error: KubeError): void;
  /** Called for each object of a watch that cannot be read. */
  onObjectError(error: ObjectError): void;
  /** A clock in ms that is never set. */
  monotonicNow(): number;
  /** Gives a number in [0, 1). */
  random(): number;
}

/** How often it is looked whether something is to be tried again, ms. */
const retryCheckIntervalMs = 500;

/**
 * Secrets ahead of any pod: makes every selected namespace's Secret hold the registries, and the selected
 * ServiceAccounts refer to it, as soon as either is there. With no registry the mode is off, and what is left to do is
 * to take away the references that were added.
 *
 * Each replica does all of it: who comes second finds it done.
 */
export class ProvisioningController {
  readonly #dependencies: ProvisioningDependencies;
  readonly #cache: ClusterCache;
  readonly #executeAction: ExecuteAction;
  readonly #informers: ProvisioningInformers;
  readonly #retries = new ActionBackoff();
  readonly #pending = new Set<string>();
  /** Actions under way, by namespace and key. */
  readonly #inFlight = new Map<string, Promise<void>>();
  #state: 'new' | 'open' | 'stopped' = 'new';
  #scheduledReconcile: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: ProvisioningDependencies) {
    this.#dependencies = parts;
    this.#cache = new ClusterCache((namespace) => this.enqueue(namespace));
    this.#executeAction = createActionExecutor({
      ...parts,
      cache: this.#cache,
      serviceAccountApi: createServiceAccountApi(parts.config),
    });
    this.#informers = createInformers({ ...parts, cache: this.#cache });
  }

  /** Starts. Resolves when what there is has been seen, or when stopped before; what is lacking is done behind that. */
  async start(): Promise<void> {
    await this.#informers.start();
    if (this.#state === 'stopped') {
      return;
    }
    this.#state = 'open';
    this.#timer = setInterval(() => {
      for (const namespace of this.#retries.takeDue(this.#dependencies.monotonicNow()))
        this.enqueue(namespace);
    }, retryCheckIntervalMs);
    for (const namespace of this.#cache.namespaceNames()) this.enqueue(namespace);
  }

  /** Stops, and resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    clearInterval(this.#timer);
    clearImmediate(this.#scheduledReconcile);
    await this.#informers.stop();
    await Promise.all(this.#inFlight.values());
  }

  /** Something may have changed in a namespace, or, without one, anywhere. */
  enqueue(namespace?: string): void {
    if (this.#state !== 'open') {
      return;
    }
    for (const name of namespace === undefined ? this.#cache.namespaceNames() : [namespace])
      this.#pending.add(name);
    // what comes in one turn is looked at together: a list may be told in two pieces
    this.#scheduledReconcile ??= setImmediate(() => {
      this.#scheduledReconcile = undefined;
      const names = [...this.#pending];
      this.#pending.clear();
      for (const name of names) this.#reconcile(name);
    });
  }

  #plan(namespace: string): Action[] {
    const secret = this.#dependencies.secretCache.get(namespace);
    return planActions({ ...this.#cache.getObserved(namespace), secret }, this.#dependencies.settings);
  }

  #reconcile(namespace: string): void {
    const actions = this.#plan(namespace);
    this.#retries.updatePlanned(namespace, actions.map(getActionKey));
    for (const action of actions) {
      const id = `${namespace} ${getActionKey(action)}`;
      if (
        this.#inFlight.has(id) ||
        this.#retries.isBackingOff(namespace, getActionKey(action), this.#dependencies.monotonicNow())
      ) {
        continue;
      }
      const execution = this.#execute(namespace, action).finally(() => {
        this.#inFlight.delete(id);
        this.enqueue(namespace);
      });
      this.#inFlight.set(id, execution);
    }
  }

  async #execute(namespace: string, action: Action): Promise<void> {
    const outcome = await this.#executeAction(namespace, action).catch((err: unknown) => ({
      done: false as const,
      failureFields: { err },
    }));
    const stillLacking = () =>
      this.#plan(namespace).some((other) => getActionKey(other) === getActionKey(action));
    const { monotonicNow, random, log } = this.#dependencies;
    if (outcome.done && !stillLacking()) {
      this.#retries.recordSuccess(namespace, getActionKey(action), monotonicNow(), random());
      return;
    }
    const retryInMs = Math.round(
      this.#retries.recordFailure(namespace, getActionKey(action), monotonicNow(), random()),
    );
    const { kind, reason } = action;
    const failureFields = outcome.done ? {} : outcome.failureFields;
    log.warn(
      { namespace, action: kind, reason, ...failureFields, retryInMs },
      'not provided yet; it is tried again',
    );
  }
}

function getActionKey(action: Action): string {
  return action.kind === 'ensure' ? action.kind : `${action.kind} ${action.serviceAccount}`;
}
