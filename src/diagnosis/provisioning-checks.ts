// Checks of the group `provisioning`: settings that match nothing, and ServiceAccounts without the reference.
import type { IdentityResolver } from '../ecr/identity.ts';
import { KubeError } from '../kube/errors.ts';
import { listNamespaces } from '../kube/namespaces.ts';
import { listServiceAccounts, type ServiceAccount } from '../kube/service-accounts.ts';
import type { IsDenied } from '../provisioning/provisioning-plan.ts';
import {
  findUnusedSettings,
  isPattern,
  type ProvisioningSettings,
  resolveSettings,
} from '../provisioning/provisioning-settings.ts';
import type { CheckResult } from './check.ts';
import { countOf, limitDetails, skipForGap } from './check-text.ts';
import { readIdentities } from './identity-reader.ts';
import type { CheckGroupRunner, Installation } from './installation.ts';
import {
  findMissingReferences,
  findUnmatchedNames,
  selectNames,
  type UnmatchedName,
} from './provisioning-findings.ts';
import { type Gap, readOptional } from './read-gaps.ts';

const page = 'how-to/provision-ahead-of-pods.md';

export const checkProvisioning: CheckGroupRunner = async (installation, signal) => {
  const settings = resolveSettings(installation.config);
  if (settings.registries.length === 0) {
    return [describeDisabled(installation)];
  }
  const gaps: Gap[] = [];
  const { cluster, config } = installation;
  const [namespaces, accounts, resolveIdentity] = await Promise.all([
    readOptional('list namespaces', gaps, () =>
      listNamespaces(cluster, { selector: settings.labelSelector }, signal),
    ),
    readOptional('list serviceaccounts', gaps, () => listAccounts(installation, settings, signal)),
    readIdentities(config, cluster, [], signal),
  ]);
  const [gap] = gaps;
  if (namespaces === undefined || accounts === undefined) {
    return gap === undefined ? [] : [skipForGap('provisioning-references', gap)];
  }
  const unmatched = findUnmatchedNames(settings, namespaces, accounts);
  const missing = findMissingReferences(settings, namespaces, accounts, createDenial(resolveIdentity));
  const selected = selectNames(namespaces, settings).length;
  return [describeNames(unmatched, selected), describeReferences(missing, settings, accounts.length)];
};

function describeDisabled({ config }: Installation): CheckResult {
  const unused = findUnusedSettings(config);
  return unused.length === 0
    ? {
        check: 'provisioning-names',
        outcome: 'ok',
        summary: 'provisioning is off, because provisioning.registries is empty',
      }
    : {
        check: 'provisioning-names',
        outcome: 'warning',
        summary: `${unused.join(' and ')} ${unused.length === 1 ? 'has' : 'have'} no effect, because provisioning.registries is empty`,
        meaning: 'No Secret is created ahead of pods',
        remedy: 'Set provisioning.registries, or remove the setting',
        page,
      };
}

/** By name if there is only one, because the right to list can be restricted to it. */
async function listAccounts(
  { cluster }: Installation,
  { serviceAccounts: names }: ProvisioningSettings,
  signal: AbortSignal,
): Promise<ServiceAccount[]> {
  const keptNames = new Set(names);
  const [name] = names;
  if (names.some(isPattern)) {
    return await listServiceAccounts(cluster, {}, signal);
  }
  if (keptNames.size === 1 && name !== undefined) {
    return await listServiceAccounts(cluster, { name }, signal);
  }
  try {
    return await listServiceAccounts(cluster, { keptNames }, signal);
  } catch (error) {
    if (!(error instanceof KubeError) || error.code !== 'forbidden') {
      throw error;
    }
    const lists = await Promise.all(
      [...keptNames].map((one) => listServiceAccounts(cluster, { name: one }, signal)),
    );
    return lists.flat();
  }
}

/** Undefined where the rules need facts that are not known, so that nothing is reported about the namespace. */
function createDenial(resolve: IdentityResolver): IsDenied {
  return (namespace, registry) => {
    const decision = resolve(namespace, registry);
    const isUndecided = decision.access === 'unresolved' && decision.code === 'namespace-unknown';
    return isUndecided ? undefined : decision.access === 'denied';
  };
}

function describeNames(unmatched: readonly UnmatchedName[], selected: number): CheckResult {
  const check = 'provisioning-names';
  const exact = unmatched.filter(({ name }) => !isPattern(name));
  const [first] = exact.length > 0 ? exact : unmatched;
  if (first === undefined) {
    return selected === 0
      ? {
          check,
          outcome: 'warning',
          summary: 'provisioning selects no namespace',
          meaning: 'No Secret is created ahead of pods',
          remedy: 'Check provisioning.namespaces, exclude.namespaces and the labels of your namespaces',
          page,
        }
      : { check, outcome: 'ok', summary: `provisioning selects ${countOf(selected, 'namespace')}` };
  }
  const { setting, name, suggestion } = first;
  const what = setting === 'provisioning.namespaces.names' ? 'namespace' : 'ServiceAccount';
  const more = unmatched.length > 1 ? ` (and ${countOf(unmatched.length - 1, 'other name')})` : '';
  return {
    check,
    outcome: exact.length > 0 ? 'failed' : 'warning',
    summary: `${setting} contains ${name}, but no selected ${what} has that name${more}${suggestion === undefined ? '' : `; did you mean ${suggestion}?`}`,
    meaning: `The ${what} that you mean gets ${what === 'namespace' ? 'no Secret' : 'no reference'} ahead of pods`,
    remedy: `Correct the name in ${setting}, or create the ${what}`,
    page,
    details: limitDetails(unmatched.map((one) => `${one.setting}: ${one.name}`)),
  };
}

function describeReferences(
  missing: readonly { readonly namespace: string; readonly name: string }[],
  { secretName }: ProvisioningSettings,
  accounts: number,
): CheckResult {
  const check = 'provisioning-references';
  const [first] = missing;
  return first === undefined
    ? {
        check,
        outcome: 'ok',
        summary: `all selected ServiceAccounts refer to Secret ${secretName} (${accounts} examined)`,
      }
    : {
        check,
        outcome: 'failed',
        summary: `ServiceAccount ${first.namespace}/${first.name}${missing.length > 1 ? ` and ${countOf(missing.length - 1, 'other ServiceAccount')}` : ''} lacks the reference to Secret ${secretName}`,
        meaning: 'Its pods get the reference from the webhook only, and none if the webhook does not respond',
        remedy:
          'The program adds references within seconds, so check that it runs and may patch ServiceAccounts; to add them now, run ecr-pull-secrets sync',
        page,
        details: limitDetails(missing.map(({ namespace, name }) => `${namespace}/${name}`)),
      };
}
