// Finds names in the provisioning settings that match nothing, and ServiceAccounts that lack the reference.
import { closest, distance } from 'fastest-levenshtein';
import type { Namespace } from '../kube/namespaces.ts';
import type { ServiceAccount } from '../kube/service-accounts.ts';
import { type IsDenied, isSelected, planActions } from '../provisioning/provisioning-plan.ts';
import { isPattern, type ProvisioningSettings } from '../provisioning/provisioning-settings.ts';
import { matchesAny } from '../util/glob.ts';

/** A name or pattern of the settings that matches no object. */
export interface UnmatchedName {
  readonly setting: 'provisioning.namespaces.names' | 'provisioning.serviceAccounts';
  readonly name: string;
  /** An existing name that is similar. */
  readonly suggestion: string | undefined;
}

/** Maximum number of names among which a similar one is searched. */
const maxCandidates = 10_000;

/** @param namespaces those that match the label selector */
export function findUnmatchedNames(
  settings: ProvisioningSettings,
  namespaces: readonly Namespace[],
  accounts: readonly Pick<ServiceAccount, 'name' | 'namespace'>[],
): UnmatchedName[] {
  const namespaceNames = namespaces.map(({ name }) => name);
  const selected = new Set(selectNames(namespaces, settings));
  const accountNames = [
    ...new Set(accounts.filter(({ namespace }) => selected.has(namespace)).map(({ name }) => name)),
  ];
  return [
    ...findUnmatched(settings.namespaces, namespaceNames).map((found) => ({
      setting: 'provisioning.namespaces.names' as const,
      ...found,
    })),
    // Without a selected namespace, its name is the cause.
    ...(selected.size === 0 ? [] : findUnmatched(settings.serviceAccounts, accountNames)).map((found) => ({
      setting: 'provisioning.serviceAccounts' as const,
      ...found,
    })),
  ];
}

function findUnmatched(
  patterns: readonly string[],
  names: readonly string[],
): Pick<UnmatchedName, 'name' | 'suggestion'>[] {
  const known = new Set(names);
  return patterns
    .filter((name) => (isPattern(name) ? !names.some((one) => matchesAny([name], one)) : !known.has(name)))
    .map((name) => ({ name, suggestion: isPattern(name) ? undefined : findSimilar(name, names) }));
}

function findSimilar(name: string, names: readonly string[]): string | undefined {
  const candidates = names.slice(0, maxCandidates);
  if (candidates.length === 0) {
    return undefined;
  }
  const nearest = closest(name, candidates);
  return distance(name, nearest) <= Math.ceil(name.length / 3) ? nearest : undefined;
}

export function selectNames(namespaces: readonly Namespace[], settings: ProvisioningSettings): string[] {
  return namespaces.filter((namespace) => isSelected(namespace, settings)).map(({ name }) => name);
}

/** The ServiceAccounts to which the program would add the reference now, with the planning of the program. */
export function findMissingReferences(
  settings: ProvisioningSettings,
  namespaces: readonly Namespace[],
  accounts: readonly ServiceAccount[],
  isDenied: IsDenied,
): Pick<ServiceAccount, 'namespace' | 'name'>[] {
  const byNamespace = Map.groupBy(accounts, ({ namespace }) => namespace);
  return namespaces.flatMap((namespace) => {
    const { name } = namespace;
    const serviceAccounts = byNamespace.get(name) ?? [];
    const observed = { name, namespace, secret: undefined, serviceAccounts };
    return planActions(observed, settings, isDenied).flatMap((action) =>
      action.kind === 'add-reference' ? [{ namespace: name, name: action.serviceAccount }] : [],
    );
  });
}
