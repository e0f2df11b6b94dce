// Judges which namespaces the webhook is called for. Pure.
import type { CheckResult } from './check.ts';

/** The namespaces for which the API server calls the webhook, and the others. */
export interface NamespaceSelection {
  readonly selected: readonly string[];
  readonly excluded: readonly string[];
}

/** Namespaces that the details name. */
const maxNamed = 20;

export function judgeNamespaces({ selected, excluded }: NamespaceSelection): CheckResult {
  const check = 'webhook-namespaces';
  const total = selected.length + excluded.length;
  const more = excluded.length > maxNamed ? [`and ${excluded.length - maxNamed} more`] : [];
  return selected.length === 0
    ? {
        check,
        outcome: 'failed',
        summary: `none of ${total} namespaces is selected`,
        meaning: 'Pods get no reference in any namespace',
        remedy:
          'Check the values namespaces and config.exclude of the chart; with optIn, label the namespaces',
        page: 'reference/chart.md#namespaces',
      }
    : {
        check,
        outcome: 'ok',
        summary: `${selected.length} of ${total} namespaces are selected`,
        details:
          excluded.length === 0
            ? []
            : [`not selected: ${[...excluded.slice(0, maxNamed), ...more].join(', ')}`],
      };
}
