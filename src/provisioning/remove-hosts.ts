// Removes hosts from the pull Secret of one namespace, on behalf of the operator.
import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { createSecretApi } from '../kube/secrets.ts';
import { type ChangeSecretDependencies, changeSecret, createSecretStore } from '../pull-secrets/apply.ts';
import { createHostCollector, type HostsInUse } from '../pull-secrets/hosts-in-use.ts';
import { omitHosts, type SecretContent } from '../pull-secrets/merge.ts';
import { SecretCache } from '../pull-secrets/secret-cache.ts';
import type { Log } from '../telemetry/log.ts';
import type { HostRemoval, RemoveHostsResult } from './result.ts';

export interface RemoveHostsParts {
  readonly config: ClusterConfig;
  readonly secretName: string;
  readonly namespace: string;
  readonly hosts: readonly string[];
  /** Hosts of `provisioning.registries`: the running program would add them again. */
  readonly configured: readonly string[];
  /** Only report what would be removed. */
  readonly dryRun: boolean;
  /** Passes each pod of a namespace that has not ended to `onPod`. Rejects with KubeError. */
  listPods(namespace: string, onPod: (pod: unknown) => void): Promise<void>;
  readonly log: Log;
}

/**
 * Takes hosts and their entries out of a namespace's pull Secret, unless a pod of the namespace names them. The write is
 * one of our own, so running replicas do not take it for damage and do not restore the hosts.
 * @throws KubeError without the right to list pods or to write the Secret, and `conflict` where the Secret was edited
 *   by hand and is not restored yet; ForeignSecretError
 */
export async function removeHosts(parts: RemoveHostsParts): Promise<RemoveHostsResult> {
  const { namespace, hosts, dryRun } = parts;
  const writing = writingParts(parts);
  let removals: HostRemoval[] = hosts.map((host) => ({ host, outcome: 'not-found' }));
  await changeSecret(
    namespace,
    async (present, state) => {
      if (state === 'edited') {
        throw notRestored(parts);
      }
      const inUse = await hostsInUse(parts);
      removals = hosts.map((host) => removalOf(host, present, inUse, parts));
      const dropped = removals.filter(({ outcome }) => outcome === 'removed').map(({ host }) => host);
      return dropped.length === 0
        ? undefined
        : { content: omitHosts(present, new Set(dropped)), dropped, reason: 'removed' as const };
    },
    writing,
  );
  if (!dryRun) {
    removals = await restoreInUse(removals, writing, parts);
  }
  const failed = removals.filter(({ outcome }) => outcome === 'in-use' || outcome === 'configured').length;
  return { namespace, dryRun, hosts: removals, failed };
}

function removalOf(
  host: string,
  present: SecretContent,
  inUse: HostsInUse,
  { configured, dryRun }: RemoveHostsParts,
): HostRemoval {
  const pod = inUse.get(host);
  if (!present.hosts.has(host)) {
    return { host, outcome: 'not-found' };
  }
  if (pod !== undefined) {
    return { host, outcome: 'in-use', pod };
  }
  if (configured.includes(host)) {
    return { host, outcome: 'configured' };
  }
  return { host, outcome: dryRun ? 'would-remove' : 'removed' };
}

/** A pod may have been created while its host was removed: then the host waits for its token again. */
async function restoreInUse(
  removals: readonly HostRemoval[],
  writing: ChangeSecretDependencies,
  parts: RemoveHostsParts,
): Promise<HostRemoval[]> {
  if (!removals.some(({ outcome }) => outcome === 'removed')) {
    return [...removals];
  }
  const inUse = await hostsInUse(parts);
  const checked = removals.map((removal): HostRemoval => {
    const pod = removal.outcome === 'removed' ? inUse.get(removal.host) : undefined;
    return pod === undefined ? removal : { host: removal.host, outcome: 'in-use', pod };
  });
  const restored = checked.filter((one, index) => one !== removals[index]).map(({ host }) => host);
  if (restored.length > 0) {
    await changeSecret(
      parts.namespace,
      async (present) => ({ content: withWaiting(present, restored) }),
      writing,
    );
  }
  return checked;
}

function withWaiting(present: SecretContent, added: readonly string[]): SecretContent {
  const missing = added.filter((host) => !present.hosts.has(host));
  const requested = missing.map((host) => [host, Date.now()] as const);
  return {
    ...present,
    hosts: new Map([...present.hosts, ...missing.map((host) => [host, undefined] as const)]),
    requestedAt: new Map([...present.requestedAt, ...requested]),
  };
}

async function hostsInUse({ listPods, namespace }: RemoveHostsParts): Promise<HostsInUse> {
  const { hosts, add } = createHostCollector();
  await listPods(namespace, add);
  return hosts;
}

function notRestored({ namespace, secretName }: RemoveHostsParts): KubeError {
  const operation = `remove hosts from Secret ${namespace}/${secretName}`;
  const detail = 'the Secret was edited and is not repaired yet; run the command again in a minute';
  return new KubeError({ code: 'conflict', operation, detail });
}

function writingParts({ config, secretName, log }: RemoveHostsParts): ChangeSecretDependencies {
  return {
    store: createSecretStore(createSecretApi(config), secretName, 'remove-host'),
    secretCache: new SecretCache(),
    log,
    isPersistent: true,
    countWrite: () => undefined,
  };
}
