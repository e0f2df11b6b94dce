import type {
  HostRemoval,
  NamespaceResult,
  Removal,
  RemoveHostsResult,
  SyncResult,
  UninstallResult,
} from './result.ts';

/** One line that says how far a sync is. */
export function progressText(done: number, total: number, failed: number): string {
  return `${done} of ${count(total, 'namespace')} done${failed > 0 ? `, ${failed} failed` : ''}`;
}

/** A summary of a sync and, where anything failed, a table of it. */
export function syncText({ namespaces, failed }: SyncResult): string {
  if (namespaces.length === 0) {
    return 'no namespace is selected\n';
  }
  const secrets = (outcome: NamespaceResult['secret']) =>
    namespaces.filter(({ secret }) => secret === outcome).length;
  const added = namespaces
    .flatMap(({ serviceAccounts }) => serviceAccounts)
    .filter(({ reference }) => reference === 'added').length;
  const facts = [
    `${count(secrets('updated'), 'Secret')} updated`,
    `${secrets('unchanged')} unchanged`,
    `${count(added, 'reference')} added`,
    ...(failed > 0 ? [`${count(failed, 'namespace')} failed`] : []),
  ];
  const rows = namespaces.flatMap(({ namespace, failures }) =>
    failures.map(({ what, text }) => [namespace, what, text]),
  );
  const summary = `${count(namespaces.length, 'namespace')}: ${facts.join(', ')}\n`;
  return rows.length === 0 ? summary : `${summary}\n${table([['NAMESPACE', 'WHAT', 'WHY'], ...rows])}`;
}

/** What an uninstall did or would do, object by object. */
export function uninstallText({ dryRun, removals, failed }: UninstallResult): string {
  if (removals.length === 0) {
    return 'nothing of ours is in the cluster\n';
  }
  const rows = removals.map((removal) => [removal.namespace, whatOf(removal), sayings[removal.outcome]]);
  const gone = removals.filter(({ outcome }) => outcome === 'removed' || outcome === 'would-remove').length;
  const left = removals.filter(({ outcome }) => outcome === 'left').length;
  const facts = [
    dryRun ? `${gone} would be removed` : `${gone} removed`,
    ...(left > 0 ? [`${left} left`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ];
  const why = removals.flatMap(({ failure }) => (failure === undefined ? [] : `${failure.text}\n`));
  return `${table([['NAMESPACE', 'WHAT', 'OUTCOME'], ...rows])}\n${facts.join(', ')}\n${why.join('')}`;
}

/** What became of each host that was to be removed. */
export function removeHostsText({ namespace, hosts }: RemoveHostsResult): string {
  const rows = hosts.map((removal) => [namespace, removal.host, removalText(removal)]);
  return table([['NAMESPACE', 'HOST', 'OUTCOME'], ...rows]);
}

function removalText({ outcome, pod }: HostRemoval): string {
  switch (outcome) {
    case 'removed':
      return 'removed';
    case 'would-remove':
      return 'would be removed';
    case 'not-found':
      return 'not in the pull Secret';
    case 'in-use':
      return `not removed: pod ${pod} uses it; delete that pod first`;
    case 'configured':
      return 'not removed: remove it from provisioning.registries first';
  }
}

const sayings: Readonly<Record<Removal['outcome'], string>> = {
  removed: 'removed',
  'would-remove': 'would be removed',
  left: 'left: not ours',
  failed: 'failed',
};

function whatOf({ kind, name }: Removal): string {
  return kind === 'Secret' ? `Secret ${name}` : `reference of ServiceAccount ${name}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** Columns as wide as their widest cell; the last one is not filled up. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell.padEnd(column === row.length - 1 ? 0 : (widths[column] ?? 0))).join('   ');
  return `${rows.map(line).join('\n')}\n`;
}
