// Reads what decides which AWS identity fetches the tokens of one namespace. Rights in that namespace suffice.
import type { IdentityResolver } from '../ecr/identity.ts';
import { findRoleAnnotation, type ServiceAccountFact } from '../ecr/identity-facts.ts';
import { createIdentityResolver, findNeededFacts } from '../ecr/identity-rules.ts';
import { locateNamespace, locateServiceAccount, readByName } from '../kube/object-by-name.ts';
import { pickStrings } from '../kube/resource.ts';
import { getField } from '../util/json.ts';
import type { Labels } from '../util/label-selector.ts';
import type { Installation } from './installation.ts';
import { type Gap, readOptional } from './read-gaps.ts';

/** One namespace. */
export interface NamespaceFacts {
  /** Undefined: they could not be read. */
  readonly labels: Labels | undefined;
  /** False: it does not exist; undefined: not known. */
  readonly exists: boolean | undefined;
  readonly resolveIdentity: IdentityResolver;
  /** What could not be read. */
  readonly gaps: readonly Gap[];
}

export async function readNamespace(
  { cluster, config }: Installation,
  namespace: string,
  signal: AbortSignal,
): Promise<NamespaceFacts> {
  const gaps: Gap[] = [];
  const needed = findNeededFacts(config.registries);
  const readFact = async (name: string): Promise<[string, ServiceAccountFact]> => {
    const location = locateServiceAccount(namespace, name);
    const found = await readOptional('get serviceaccounts', gaps, async () => ({
      account: await readByName(cluster, location, signal),
    }));
    return [name, toFact(found)];
  };
  const [found, ...accounts] = await Promise.all([
    readOptional('get namespaces', gaps, async () => ({
      object: await readByName(cluster, locateNamespace(namespace), signal),
    })),
    ...needed.serviceAccounts.map(readFact),
  ]);
  const labels =
    found?.object === undefined
      ? undefined
      : pickStrings(getField(getField(found.object, 'metadata'), 'labels'));
  const facts = new Map(accounts);
  return {
    labels,
    exists: found && found.object !== undefined,
    resolveIdentity: createIdentityResolver(config.registries, {
      namespaceLabels: (of) => (of === namespace ? labels : undefined),
      serviceAccount: (_of, name) => facts.get(name) ?? { state: 'unknown' },
    }),
    gaps,
  };
}

function toFact(found: { readonly account: unknown } | undefined): ServiceAccountFact {
  if (found === undefined) {
    return { state: 'unknown' };
  }
  const annotations = pickStrings(getField(getField(found.account, 'metadata'), 'annotations'));
  return found.account === undefined
    ? { state: 'missing' }
    : { state: 'exists', role: findRoleAnnotation(annotations) };
}
