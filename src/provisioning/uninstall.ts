import pLimit from 'p-limit';
import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { listSecretMetadata } from '../kube/secret-metadata.ts';
import { createSecretApi, deleteSecret } from '../kube/secrets.ts';
import { removeReference } from '../kube/service-account-references.ts';
import {
  createServiceAccountApi,
  listServiceAccounts,
  type ServiceAccount,
} from '../kube/service-accounts.ts';
import { isManagedSecret } from '../pull-secrets/apply.ts';
import { UnmanagedSecretError } from '../pull-secrets/unavailable-host.ts';
import { failureOf, type Removal, type UninstallResult } from './result.ts';

export interface UninstallParts {
  readonly config: ClusterConfig;
  readonly secretName: string;
  /** Only tell what would go. */
  readonly dryRun: boolean;
  /** Ends it, as a failure. */
  readonly signal: AbortSignal;
}

const atOnce = 8;
/** A replica that still runs may write a Secret between our look and our deletion. */
const mostTries = 5;

/**
 * Takes out of the cluster what the program put into it: the references to Secrets of its name that it added to
 * ServiceAccounts, then the Secrets of that name that are its own by type and label. A foreign one is told and left.
 * @throws KubeError where it cannot be listed what there is; nothing is changed then
 */
export async function uninstall(parts: UninstallParts): Promise<UninstallResult> {
  const { config, secretName, dryRun, signal } = parts;
  const accounts = await listServiceAccounts(config, {}, signal);
  const secrets = (await listSecretMetadata(config, secretName, signal)).items;
  const limit = pLimit(atOnce);
  const references = await Promise.all(
    accounts
      .filter(({ managedReference }) => managedReference === secretName)
      .map((account) => limit(() => removeFrom(account, parts))),
  );
  const deleted = await Promise.all(
    secrets.map(({ namespace }) => limit(() => removeSecret(namespace, parts))),
  );
  const removals = [...references, ...deleted.filter((removal) => removal !== undefined)];
  return { dryRun, removals, failed: removals.filter(({ outcome }) => outcome === 'failed').length };
}

async function removeFrom(
  { namespace, name }: ServiceAccount,
  { config, dryRun }: UninstallParts,
): Promise<Removal> {
  const removal = { kind: 'ServiceAccount', namespace, name } as const;
  try {
    if (!dryRun) await removeReference(createServiceAccountApi(config), namespace, name);
    return { ...removal, outcome: dryRun ? 'would-remove' : 'removed' };
  } catch (error) {
    return { ...removal, outcome: 'failed', failure: failureOf(`ServiceAccount ${name}`, error) };
  }
}

/** @returns undefined where the Secret is gone already */
async function removeSecret(namespace: string, parts: UninstallParts): Promise<Removal | undefined> {
  const removal = { kind: 'Secret', namespace, name: parts.secretName } as const;
  for (let tries = 1; ; tries += 1) {
    try {
      const outcome = await tryToRemove(namespace, parts);
      return outcome && { ...removal, outcome };
    } catch (error) {
      const changed = error instanceof KubeError && error.code === 'conflict';
      if (!changed || tries === mostTries) {
        const outcome = error instanceof UnmanagedSecretError ? 'left' : 'failed';
        return { ...removal, outcome, failure: failureOf(`Secret ${parts.secretName}`, error) };
      }
    }
  }
}

/** Reads before it deletes, since metadata does not show the type, and deletes only what it has read. */
async function tryToRemove(
  namespace: string,
  { config, secretName, dryRun }: UninstallParts,
): Promise<Removal['outcome'] | undefined> {
  const secret = await createSecretApi(config).read(namespace, secretName);
  if (secret === undefined) {
    return undefined;
  }
  if (!isManagedSecret(secret)) {
    throw new UnmanagedSecretError(namespace, secretName);
  }
  if (!dryRun) {
    await deleteSecret(config, secret);
  }
  return dryRun ? 'would-remove' : 'removed';
}
