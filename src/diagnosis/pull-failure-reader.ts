// Lists the pods whose images cannot be pulled from the registries, and groups them by cause, in bounded memory.
import { type Decision, type DecisionRules, decideOnPod } from '../injection/decision.ts';
import { hasReference } from '../injection/patch.ts';
import type { ClusterConfig } from '../kube/client.ts';
import { visitWarnings } from '../kube/event-list.ts';
import { listPendingPods, listRunningPods } from '../kube/pods.ts';
import { getField } from '../util/json.ts';
import { createDiagnosisRules, readSelectedNamespaces } from './diagnosis-rules.ts';
import type { Installation } from './installation.ts';
import { determineCause, type PullCause } from './pull-causes.ts';
import { classifyMessage, findPullFailures, type PullFailure } from './pull-failures.ts';
import { type Gap, readOptional } from './read-gaps.ts';
import type { SecretSurvey } from './secret-survey.ts';

/** A pod with an image that cannot be pulled. Keeps nothing of the pod but names. */
export interface FailingPod {
  readonly namespace: string;
  readonly name: string;
  readonly failure: PullFailure;
  /** The reason of the webhook's decision; `namespace-not-selected`: the API server does not call the webhook. */
  readonly exclusion: Decision['reason'] | 'namespace-not-selected';
  /** Path of the rule that denies the namespace the token; undefined: none does. */
  readonly denyingRule: string | undefined;
}

/** Pods with the same cause. */
export interface FailingPods {
  readonly count: number;
  /** The first ones, at most {@link maxKept}. */
  readonly pods: readonly FailingPod[];
}

export interface PullFailureReport {
  readonly causes: ReadonlyMap<PullCause, FailingPods>;
  /** Number of pods that were examined. */
  readonly examined: number;
  /** Whether all pods were examined. */
  readonly isComplete: boolean;
  readonly gaps: readonly Gap[];
}

/** Maximum number of pods that are kept of each cause. */
const maxKept = 200;
/** Maximum number of pods whose Events are read because their status says nothing. */
const maxEventReads = 10;

/**
 * Reads all pending pods and as many running ones as can be listed in time.
 * @param survey the pull Secrets; undefined: they could not be read
 */
export async function readPullFailures(
  installation: Installation,
  survey: SecretSurvey | undefined,
  dependencies: Pick<SecretSurvey, 'resolveIdentity' | 'resolveRegistry'>,
  signal: AbortSignal,
): Promise<PullFailureReport> {
  const { config, cluster } = installation;
  const gaps: Gap[] = [];
  const collector = new FailureCollector({
    survey,
    rules: createDiagnosisRules(config, dependencies.resolveRegistry, dependencies.resolveIdentity),
    isSelected: await readSelectedNamespaces(config, cluster, gaps, signal),
    now: survey?.now ?? Date.now(),
    readMessage: (namespace, name, image) => readLastMessage(cluster, { namespace, name, image }, signal),
  });
  const isComplete = await readOptional('list pods', gaps, async () => {
    const onPage = async (pods: readonly unknown[]) => {
      for (const pod of pods) {
        await collector.add(pod);
      }
    };
    await listPendingPods(cluster, onPage, signal);
    return await listRunningPods(cluster, onPage, signal);
  });
  const { causes, examined } = collector;
  return { causes, examined, isComplete: isComplete ?? false, gaps };
}

interface CollectorDependencies {
  readonly survey: SecretSurvey | undefined;
  readonly rules: DecisionRules;
  isSelected(namespace: string): boolean;
  /** The wall clock in ms. */
  readonly now: number;
  /** Returns what the last Event of a pod says about an image; empty if there is none. */
  readMessage(namespace: string, name: string, image: string): Promise<string>;
}

/** Groups pods by cause. */
class FailureCollector {
  readonly causes = new Map<PullCause, { count: number; pods: FailingPod[] }>();
  examined = 0;
  readonly #dependencies: CollectorDependencies;
  #eventReads = 0;

  constructor(dependencies: CollectorDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param pod as the API server sent it */
  async add(pod: unknown): Promise<void> {
    this.examined += 1;
    const metadata = getField(pod, 'metadata');
    const [namespace, name] = [getField(metadata, 'namespace'), getField(metadata, 'name')];
    const [failure] = findPullFailures(pod, this.#dependencies.rules.resolveRegistry);
    if (failure !== undefined && typeof namespace === 'string' && typeof name === 'string') {
      this.#record(pod, namespace, name, await this.#complete(namespace, name, failure));
    }
  }

  /** While the kubelet backs off, older versions say only that it does. The last Event of the pod has the cause. */
  async #complete(namespace: string, name: string, failure: PullFailure): Promise<PullFailure> {
    if (failure.problem !== 'unknown' || this.#eventReads >= maxEventReads) {
      return failure;
    }
    this.#eventReads += 1;
    const message = await this.#dependencies.readMessage(namespace, name, failure.image);
    return { ...failure, ...classifyMessage(message, failure.image) };
  }

  #record(pod: unknown, namespace: string, name: string, failure: PullFailure): void {
    const { survey, rules, now } = this.#dependencies;
    const decision = decideOnPod(pod, namespace, rules);
    const isSelected = this.#dependencies.isSelected(namespace);
    const registry = rules.resolveRegistry(failure.host);
    const denyingRule = registry && rules.findDenyingRule(namespace, registry);
    const cause = determineCause({
      ...{ failure, decision, denyingRule, isSelected, now },
      hasReference: hasReference(pod, rules.reference),
      secret: survey === undefined ? 'unknown' : survey.secrets.get(namespace),
    });
    const group = this.causes.get(cause) ?? { count: 0, pods: [] };
    this.causes.set(cause, group);
    group.count += 1;
    if (group.pods.length < maxKept) {
      const exclusion = isSelected ? decision.reason : 'namespace-not-selected';
      group.pods.push({ namespace, name, failure, exclusion, denyingRule });
    }
  }
}

async function readLastMessage(
  cluster: ClusterConfig,
  { namespace, name, image }: { readonly namespace: string; readonly name: string; readonly image: string },
  signal: AbortSignal,
): Promise<string> {
  let last = { at: 0, message: '' };
  await readOptional('list events', [], () =>
    visitWarnings(
      cluster,
      { kind: 'Pod', name, namespace },
      ({ reason, message, at }) => {
        if (reason === 'Failed' && at >= last.at && message.includes(image)) {
          last = { at, message };
        }
      },
      signal,
    ),
  );
  return last.message;
}
