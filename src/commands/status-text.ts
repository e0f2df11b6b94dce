// Formats the status as a table for readers.
import { countOf, formatDuration, formatTime } from '../diagnosis/check-text.ts';
import { formatIdentity, type HostIdentity } from '../diagnosis/host-identity.ts';
import { type RowState, rowStates, type StatusRow, type StatusSummary } from '../diagnosis/status-rows.ts';
import { toPrintableLine } from '../telemetry/redact.ts';
import { colors, paint } from './terminal-style.ts';

/** What `status` shows. */
export interface Status {
  readonly rows: readonly StatusRow[];
  readonly summary: StatusSummary;
  /** What the status does not contain, and why. */
  readonly notes: readonly string[];
  /** When it was read, in ms since the epoch. */
  readonly now: number;
}

export interface StatusLayout {
  /** All facts, whatever the width. */
  readonly isWide: boolean;
  readonly hasColor: boolean;
  /** The width and height of the terminal; undefined: not limited. */
  readonly columns: number | undefined;
  readonly rows: number | undefined;
}

/** A summary, the table, and what could not be read. */
export function statusText(status: Status, layout: StatusLayout): string {
  const head = [summaryText(status.summary)];
  const notes = status.notes.map((note) => toPrintableLine(`note: ${note}`));
  if (status.rows.length === 0) {
    return `${[...head, ...notes].join('\n')}\n`;
  }
  const maxRows =
    layout.rows === undefined ? status.rows.length : Math.max(1, layout.rows - notes.length - otherLines);
  const shown = status.rows.slice(0, maxRows);
  const hidden = status.rows.length - shown.length;
  return `${[
    ...head,
    '',
    ...tableLines(shown, status.now, layout),
    ...(hidden > 0 ? [`and ${countOf(hidden, 'more row')}`] : []),
    ...(notes.length > 0 ? ['', ...notes] : []),
  ].join('\n')}\n`;
}

/** Lines besides rows and notes: time, summary, header, two empty lines, the number of hidden rows, and the cursor. */
const otherLines = 7;

function summaryText({ namespaces, hosts, states, uninjectedPods }: StatusSummary): string {
  if (namespaces === 0 && uninjectedPods === 0) {
    return 'no pull Secret exists in these namespaces';
  }
  const facts = rowStates.flatMap((state) =>
    states[state] === undefined ? [] : `${states[state]} ${state}`,
  );
  const pods = uninjectedPods === 0 ? [] : [`${countOf(uninjectedPods, 'pod')} without the reference`];
  const all = [...facts, ...pods].join(', ');
  return `${countOf(hosts, 'host')} in ${countOf(namespaces, 'pull Secret')}${all === '' ? '' : `: ${all}`}`;
}

type Row = readonly string[];

function tableLines(rows: readonly StatusRow[], now: number, layout: StatusLayout): string[] {
  const { isWide, hasColor } = layout;
  const header = ['NAMESPACE', 'HOST', 'STATE', 'EXPIRES', 'PODS', 'IDENTITY', 'LAST ERROR'];
  const cells = rows.map((row) => (isWide ? wideCells(row) : shortCells(row, now)).map(toPrintableLine));
  const widths = header.map((title, column) =>
    cells.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), title.length),
  );
  const lastColumn = header.length - 1;
  const used = widths.slice(0, lastColumn).reduce((sum, width) => sum + width + gap.length, 0);
  const lastWidth = isWide ? undefined : Math.max(minErrorWidth, (layout.columns ?? defaultColumns) - used);
  const format = (row: Row, color: number | undefined) =>
    row
      .map((cell, column) => {
        const text = column === lastColumn ? cut(cell, lastWidth) : cell.padEnd(widths[column] ?? 0);
        return column === stateColumn && color !== undefined ? paint(text, color, hasColor) : text;
      })
      .join(gap)
      .trimEnd();
  return [
    format(header, undefined),
    ...cells.map((row, index) => format(row, stateColors[rows[index]?.state ?? 'valid'])),
  ];
}

const gap = '   ';
const stateColumn = 2;
/** The width that is assumed for a file, so that a long error does not make every line long. */
const defaultColumns = 200;
const minErrorWidth = 30;

function shortCells({ namespace, host, state, ...row }: StatusRow, now: number): Row {
  const { expiresAt, waitingSince, pods, identity, error } = row;
  const waited = waitingSince === undefined ? '' : `waiting for ${formatDuration(now - waitingSince)}`;
  return [
    ...[namespace, host ?? '-', state],
    expiresAt === undefined ? '-' : formatDistance(expiresAt, now),
    pods === undefined ? '-' : String(pods),
    identity === undefined ? '-' : formatShortIdentity(identity),
    error ?? waited,
  ];
}

function wideCells({ namespace, host, state, ...row }: StatusRow): Row {
  const { expiresAt, waitingSince, pods, podNames, identity, error } = row;
  const facts = [
    ...(waitingSince === undefined ? [] : [`requested at ${formatTime(waitingSince)}`]),
    ...(podNames === undefined ? [] : [podNames.join(', ')]),
    ...(error === undefined ? [] : [error]),
  ];
  return [
    ...[namespace, host ?? '-', state],
    expiresAt === undefined ? '-' : formatTime(expiresAt),
    pods === undefined ? '-' : String(pods),
    identity === undefined ? '-' : formatIdentity(identity),
    facts.join('; '),
  ];
}

/** Names a role without its account, which the wide table shows. */
function formatShortIdentity(identity: HostIdentity): string {
  switch (identity.kind) {
    case 'own':
      return 'own';
    case 'role':
      return identity.roleArn.replace(/^arn:[^:]*:iam::\d*:/, '');
    default:
      return formatIdentity(identity);
  }
}

function cut(text: string, width: number | undefined): string {
  return width === undefined || text.length <= width ? text : `${text.slice(0, width - 3)}...`;
}

const { red, yellow, green, grey } = colors;

const stateColors: Readonly<Record<RowState, number>> = {
  ...{ expired: red, failing: red, 'wrong-type': red, unmanaged: red, uninjected: red },
  ...{ waiting: yellow, denied: yellow, edited: yellow, due: yellow },
  ...{ unconfigured: grey, 'opted-out': grey, valid: green },
};

function formatDistance(at: number, now: number): string {
  return at >= now ? `in ${formatDuration(at - now)}` : `${formatDuration(now - at)} ago`;
}
