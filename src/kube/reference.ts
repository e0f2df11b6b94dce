import { referenceAnnotation, type ServiceAccount } from './service-account.ts';

/** One operation of a JSON patch (RFC 6902). */
export type Operation =
  | { readonly op: 'test' | 'add'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

const annotationPath = `/metadata/annotations/${referenceAnnotation.replace('/', '~1')}`;
const listPath = '/imagePullSecrets';

/**
 * What makes a ServiceAccount refer to a pull secret, and say that we did it; undefined where there is nothing to do.
 * A reference of ours to another Secret gives way to it. The list is an atomic one, which an apply would take over
 * whole, so the patch appends, and holds only for the version that was looked at.
 */
export function referPatch(account: ServiceAccount, secret: string): Operation[] | undefined {
  const ours = account.reference;
  if (account.pullSecrets.includes(secret)) {
    // by whose hand it came is not for us to change; an old reference of ours goes
    return ours === undefined || ours === secret ? undefined : unreferPatch(account);
  }
  const old = ours === undefined ? [] : withoutEntry(account, ours);
  const left = account.pullSecrets.length - old.length;
  return [
    unchanged(account),
    ...old.map(({ path }): Operation => ({ op: 'remove', path })),
    left === 0
      ? { op: 'add', path: listPath, value: [{ name: secret }] }
      : { op: 'add', path: `${listPath}/-`, value: { name: secret } },
    account.annotated
      ? { op: 'add', path: annotationPath, value: secret }
      : { op: 'add', path: '/metadata/annotations', value: { [referenceAnnotation]: secret } },
  ];
}

/** What takes away the reference that we added, and nothing else; undefined where we added none. */
export function unreferPatch(account: ServiceAccount): Operation[] | undefined {
  const ours = account.reference;
  if (ours === undefined) return undefined;
  const entry = withoutEntry(account, ours);
  const whole = entry.length > 0 && account.pullSecrets.length === 1;
  return [
    unchanged(account),
    ...(whole ? [{ op: 'remove', path: listPath } as const] : entry),
    { op: 'remove', path: annotationPath },
  ];
}

/** A patch is tried again by the API server on whatever is there by then, unless it says what it is for. */
function unchanged({ resourceVersion }: ServiceAccount): Operation {
  return { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion };
}

/** We append, so of several entries of the name the last is ours; none where somebody took it away already. */
function withoutEntry({ pullSecrets }: ServiceAccount, secret: string) {
  const index = pullSecrets.lastIndexOf(secret);
  return index < 0 ? [] : [{ op: 'remove', path: `${listPath}/${index}` } as const];
}
