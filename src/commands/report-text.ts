// Formats the results of sync, uninstall and remove-host as text.
import { countOf } from '../diagnosis/check-text.ts';
import type {
  HostRemoval,
  NamespaceResult,
  Removal,
  RemoveHostsResult,
  SyncResult,
  UninstallResult,
} from './results.ts';

/** One line that shows the progress of a sync. */
export function progressText(done: number, total: number, failed: number): string {
  return `${done} of ${countOf(total, 'namespace')} done${failed > 0 ? `, ${failed} failed` : ''}`;
}

/** A summary of a sync, a table of what failed, and what was not done because of an interrupt. */
export function syncText(result: SyncResult): string {
  const { namespaces, failures = [] } = result;
  const rows = namespaces.flatMap(({ namespace, failures: ofNamespace }) =>
    ofNamespace.map(({ what, text }) => [namespace, what, text]),
  );
  return [
    syncSummary(result),
    ...(rows.length === 0 ? [] : [`\n${table([['NAMESPACE', 'WHAT', 'WHY'], ...rows])}`]),
    ...failures.map(({ text }) => `${text}\n`),
    syncInterrupted(result),
  ].join('');
}

function syncSummary({ namespaces, failed, failures, interrupted }: SyncResult): string {
  if (namespaces.length === 0) {
    return failures === undefined && interrupted === undefined ? 'no namespace is selected\n' : '';
  }
  const secrets = (outcome: NamespaceResult['secret']) =>
    namespaces.filter(({ secret }) => secret === outcome).length;
  const added = namespaces
    .flatMap(({ serviceAccounts }) => serviceAccounts)
    .filter(({ reference }) => reference === 'added').length;
  const facts = [
    `${countOf(secrets('updated'), 'Secret')} updated`,
    `${secrets('unchanged')} unchanged`,
    ...(secrets('denied') > 0 ? [`${secrets('denied')} denied by rules`] : []),
    `${countOf(added, 'reference')} added`,
    ...(failed > 0 ? [`${countOf(failed, 'namespace')} failed`] : []),
  ];
  return `${countOf(namespaces.length, 'namespace')}: ${facts.join(', ')}\n`;
}

/** Namespaces that are named in the text; JSON has all of them. */
const maxNamed = 20;

function syncInterrupted({ namespaces, interrupted }: SyncResult): string {
  if (interrupted === undefined) {
    return '';
  }
  if (namespaces.length === 0) {
    return `interrupted by ${interrupted} before any namespace was synced\n`;
  }
  const names = namespaces.filter(isIncomplete).map(({ namespace }) => namespace);
  const more = names.length > maxNamed ? ` and ${names.length - maxNamed} more` : '';
  const which = names.length === 0 ? '' : `: ${names.slice(0, maxNamed).join(', ')}${more}`;
  return `interrupted by ${interrupted}; ${names.length} of ${countOf(namespaces.length, 'namespace')} not completed${which}\n`;
}

function isIncomplete({ secret, serviceAccounts }: NamespaceResult): boolean {
  return secret === 'interrupted' || serviceAccounts.some(({ reference }) => reference === 'interrupted');
}

/** What an uninstall did or would do, object by object. */
export function uninstallText({ dryRun, removals, failed, interrupted }: UninstallResult): string {
  if (removals.length === 0) {
    return interrupted === undefined
      ? 'nothing to remove: no Secret and no reference is managed by ecr-pull-secrets\n'
      : `interrupted by ${interrupted} before anything was removed\n`;
  }
  const rows = removals.map((removal) => [removal.namespace, whatOf(removal), outcomeTexts[removal.outcome]]);
  const numberOf = (...outcomes: Removal['outcome'][]) =>
    removals.filter(({ outcome }) => outcomes.includes(outcome)).length;
  const removed = numberOf('removed', 'would-remove');
  const skipped = numberOf('skipped');
  const facts = [
    dryRun ? `${removed} would be removed` : `${removed} removed`,
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ];
  const why = removals.flatMap(({ failure }) => (failure === undefined ? [] : `${failure.text}\n`));
  const end =
    interrupted === undefined
      ? ''
      : `interrupted by ${interrupted}; ${countOf(numberOf('interrupted'), 'object')} not completed\n`;
  return `${table([['NAMESPACE', 'WHAT', 'OUTCOME'], ...rows])}\n${facts.join(', ')}\n${why.join('')}${end}`;
}

/** The outcome for each host that was to be removed. */
export function removeHostsText({ namespace, hosts, interrupted }: RemoveHostsResult): string {
  const rows = hosts.map((removal) => [namespace, removal.host, hostOutcomeText(removal)]);
  const end = interrupted === undefined ? '' : `interrupted by ${interrupted}\n`;
  return `${table([['NAMESPACE', 'HOST', 'OUTCOME'], ...rows])}${end}`;
}

function hostOutcomeText({ outcome, pod }: HostRemoval): string {
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
    case 'interrupted':
      return 'not removed: interrupted';
  }
}

const outcomeTexts: Readonly<Record<Removal['outcome'], string>> = {
  removed: 'removed',
  'would-remove': 'would be removed',
  skipped: 'skipped: not managed by ecr-pull-secrets',
  failed: 'failed',
  interrupted: 'not completed: interrupted',
};

function whatOf({ kind, name }: Removal): string {
  return kind === 'Secret' ? `Secret ${name}` : `reference of ServiceAccount ${name}`;
}

/** Formats rows in aligned columns. The last column is not padded. A line break in a cell does not begin a row. */
function table(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map((cell) => cell.replace(/\s+/g, ' ')));
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell.padEnd(column === row.length - 1 ? 0 : (widths[column] ?? 0))).join('   ');
  return `${rows.map(line).join('\n')}\n`;
}
