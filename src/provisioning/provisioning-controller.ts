import type { ClusterConfig } from '../kube/client.ts';
import type { KubeError } from '../kube/errors.ts';
import type { ObjectError } from '../kube/object-error.ts';
import { serviceAccountApi } from '../kube/service-accounts.ts';
import { Retries } from './action-retries.ts';
import { World } from './cluster-cache.ts';
import { type Sources, sources } from './cluster-watches.ts';
import { type Actor, type ActParts, actor } from './provisioning-actions.ts';
import { type Action, planOf } from './provisioning-plan.ts';

export interface ProvisioningParts extends Pick<ActParts, 'settings' | 'view' | 'secrets' | 'log'> {
  readonly config: ClusterConfig;
  /** Resolves when the view knows the Secrets that there are. */
  ready(): Promise<void>;
  /** Called for each failure of a watch, which is then taken up again. */
  onWatchError(error: KubeError): void;
  /** Called for each object of a watch that cannot be read. */
  onObjectError(error: ObjectError): void;
  /** A clock in ms that is never set. */
  now(): number;
  /** Gives a number in [0, 1). */
  random(): number;
}

/** How often it is looked whether something is to be tried again, ms. */
const tickMs = 500;

/**
 * Secrets ahead of any pod: makes every selected namespace's Secret hold the registries, and the selected
 * ServiceAccounts refer to it, as soon as either is there. With no registry the mode is off, and what is left to do is
 * to take away the references that were added.
 *
 * Each replica does all of it: who comes second finds it done.
 */
export class Provisioning {
  readonly #parts: ProvisioningParts;
  readonly #world: World;
  readonly #act: Actor;
  readonly #sources: Sources;
  readonly #retries = new Retries();
  readonly #toLookAt = new Set<string>();
  /** Actions under way, by namespace and key. */
  readonly #underWay = new Map<string, Promise<void>>();
  #state: 'new' | 'open' | 'stopped' = 'new';
  #look: NodeJS.Immediate | undefined;
  #tick: NodeJS.Timeout | undefined;

  constructor(parts: ProvisioningParts) {
    this.#parts = parts;
    this.#world = new World((namespace) => this.wake(namespace));
    this.#act = actor({ ...parts, world: this.#world, accounts: serviceAccountApi(parts.config) });
    this.#sources = sources({ ...parts, world: this.#world });
  }

  /** Starts. Resolves when what there is has been seen, or when stopped before; what is lacking is done behind that. */
  async start(): Promise<void> {
    await this.#sources.start();
    if (this.#state === 'stopped') {
      return;
    }
    this.#state = 'open';
    this.#tick = setInterval(() => {
      for (const namespace of this.#retries.due(this.#parts.now())) this.wake(namespace);
    }, tickMs);
    for (const namespace of this.#world.names()) this.wake(namespace);
  }

  /** Stops, and resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    clearInterval(this.#tick);
    clearImmediate(this.#look);
    await this.#sources.stop();
    await Promise.all(this.#underWay.values());
  }

  /** Something may have changed in a namespace, or, without one, anywhere. */
  wake(namespace?: string): void {
    if (this.#state !== 'open') {
      return;
    }
    for (const name of namespace === undefined ? this.#world.names() : [namespace]) this.#toLookAt.add(name);
    // what comes in one turn is looked at together: a list may be told in two pieces
    this.#look ??= setImmediate(() => {
      this.#look = undefined;
      const names = [...this.#toLookAt];
      this.#toLookAt.clear();
      for (const name of names) this.#begin(name);
    });
  }

  #plan(namespace: string): Action[] {
    const secret = this.#parts.view.get(namespace);
    return planOf({ ...this.#world.seen(namespace), secret }, this.#parts.settings);
  }

  #begin(namespace: string): void {
    const actions = this.#plan(namespace);
    this.#retries.keep(namespace, actions.map(keyOf));
    for (const action of actions) {
      const id = `${namespace} ${keyOf(action)}`;
      if (this.#underWay.has(id) || this.#retries.waits(namespace, keyOf(action), this.#parts.now())) {
        continue;
      }
      const end = this.#perform(namespace, action).finally(() => {
        this.#underWay.delete(id);
        this.wake(namespace);
      });
      this.#underWay.set(id, end);
    }
  }

  async #perform(namespace: string, action: Action): Promise<void> {
    const outcome = await this.#act(namespace, action).catch((err: unknown) => ({
      done: false as const,
      why: { err },
    }));
    const stillLacking = () => this.#plan(namespace).some((other) => keyOf(other) === keyOf(action));
    const { now, random, log } = this.#parts;
    if (outcome.done && !stillLacking()) {
      this.#retries.succeeded(namespace, keyOf(action), now(), random());
      return;
    }
    const retryInMs = Math.round(this.#retries.failed(namespace, keyOf(action), now(), random()));
    const { kind, reason } = action;
    const why = outcome.done ? {} : outcome.why;
    log.warn({ namespace, action: kind, reason, ...why, retryInMs }, 'not provided yet; it is tried again');
  }
}

function keyOf(action: Action): string {
  return action.kind === 'ensure' ? action.kind : `${action.kind} ${action.serviceAccount}`;
}
