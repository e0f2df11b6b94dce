// Creates Secrets and ServiceAccount references ahead of any pod, and keeps them as configured.
import type { ClusterConfig } from '../kube/client.ts';
import type { KubeError } from '../kube/errors.ts';
import type { InformerPhase } from '../kube/informer.ts';
import type { ObjectError } from '../kube/object-error.ts';
import { createServiceAccountApi } from '../kube/service-accounts.ts';
import { ActionBackoff } from './action-backoff.ts';
import { ClusterCache } from './cluster-cache.ts';
import { type ActionDependencies, createActionExecutor, type ExecuteAction } from './provisioning-actions.ts';
import { createInformers, type ProvisioningInformers } from './provisioning-informers.ts';
import { type Action, type IsDenied, planActions } from './provisioning-plan.ts';

export interface ProvisioningDependencies
  extends Pick<ActionDependencies, 'settings' | 'secretCache' | 'secrets' | 'log'> {
  readonly config: ClusterConfig;
  /** {@link ProvisioningController.enqueue} has to be called when its result changes. */
  readonly isDenied: IsDenied;
  /** Resolves when the Secret cache is complete. */
  whenSynced(): Promise<void>;
  /** Called for each failure of a watch, which then reconnects. */
  onWatchError(error: KubeError, phase: InformerPhase): void;
  /** Called for each object that cannot be parsed. */
  onObjectError(error: ObjectError): void;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
  /** Returns a number in [0, 1). */
  random(): number;
}

/** Interval between two checks for actions to retry, in ms. */
const retryCheckIntervalMs = 500;

/**
 * Ensures that each selected namespace has a Secret with the configured registries, and that the selected ServiceAccounts
 * reference it, as soon as the namespace or ServiceAccount exists. Without registries, provisioning is disabled, and the
 * controller only removes references that it added earlier.
 *
 * Runs in every replica; a slower replica finds nothing left to do.
 */
export class ProvisioningController {
  readonly #dependencies: ProvisioningDependencies;
  readonly #cache: ClusterCache;
  readonly #executeAction: ExecuteAction;
  readonly #informers: ProvisioningInformers;
  readonly #backoff = new ActionBackoff();
  readonly #pending = new Set<string>();
  /** Actions in flight, by namespace and key. */
  readonly #inFlight = new Map<string, Promise<void>>();
  #state: 'new' | 'open' | 'stopped' = 'new';
  #scheduledReconcile: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(dependencies: ProvisioningDependencies) {
    this.#dependencies = dependencies;
    this.#cache = new ClusterCache((namespace) => this.enqueue(namespace));
    this.#executeAction = createActionExecutor({
      ...dependencies,
      cache: this.#cache,
      serviceAccountApi: createServiceAccountApi(dependencies.config),
    });
    this.#informers = createInformers({ ...dependencies, cache: this.#cache });
  }

  /** Starts. Resolves when the caches are complete, or when stopped before; reconciling continues in the background. */
  async start(): Promise<void> {
    await this.#informers.start();
    if (this.#state === 'stopped') {
      return;
    }
    this.#state = 'open';
    this.#timer = setInterval(() => {
      for (const namespace of this.#backoff.takeDue(this.#dependencies.monotonicNow())) {
        this.enqueue(namespace);
      }
    }, retryCheckIntervalMs);
    this.enqueue();
  }

  /** Stops, and resolves when no action is in flight. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    clearInterval(this.#timer);
    clearImmediate(this.#scheduledReconcile);
    await this.#informers.stop();
    await Promise.all(this.#inFlight.values());
  }

  /** Schedules a reconcile of a namespace, or of all namespaces if none is given. */
  enqueue(namespace?: string): void {
    if (this.#state !== 'open') {
      return;
    }
    for (const name of namespace === undefined ? this.#cache.namespaceNames() : [namespace]) {
      this.#pending.add(name);
    }
    // coalesces all events of one turn of the event loop, because a relist reports each namespace separately
    this.#scheduledReconcile ??= setImmediate(() => {
      this.#scheduledReconcile = undefined;
      const names = [...this.#pending];
      this.#pending.clear();
      for (const name of names) {
        this.#reconcile(name);
      }
    });
  }

  #plan(namespace: string): Action[] {
    const { secretCache, settings, isDenied } = this.#dependencies;
    const secret = secretCache.get(namespace);
    return planActions({ ...this.#cache.getObserved(namespace), secret }, settings, isDenied);
  }

  #reconcile(namespace: string): void {
    const actions = this.#plan(namespace);
    this.#backoff.updatePlanned(namespace, actions.map(getActionKey));
    for (const action of actions) {
      const id = `${namespace} ${getActionKey(action)}`;
      if (
        this.#inFlight.has(id) ||
        this.#backoff.isBackingOff(namespace, getActionKey(action), this.#dependencies.monotonicNow())
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
    const isStillPlanned = () =>
      this.#plan(namespace).some((other) => getActionKey(other) === getActionKey(action));
    const { monotonicNow, random, log } = this.#dependencies;
    if (outcome.done && !isStillPlanned()) {
      this.#backoff.recordSuccess(namespace, getActionKey(action), monotonicNow(), random());
      return;
    }
    const retryInMs = Math.round(
      this.#backoff.recordFailure(namespace, getActionKey(action), monotonicNow(), random()),
    );
    const { kind, reason } = action;
    const failureFields = outcome.done ? {} : outcome.failureFields;
    log.warn(
      { namespace, action: kind, reason, ...failureFields, retryInMs },
      'provisioning failed; will retry',
    );
  }
}

function getActionKey(action: Action): string {
  return action.kind === 'ensure-secret' ? action.kind : `${action.kind} ${action.serviceAccount}`;
}
