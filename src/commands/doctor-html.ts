// Formats the report of doctor as one self-contained HTML page for tickets, without scripts and external resources.
import type { CheckGroup, CheckResult } from '../diagnosis/check.ts';
import type { TimelineEntry } from '../diagnosis/report-timeline.ts';
import { maxLifetimeMs } from '../ecr/token-policy.ts';
import { toPrintable } from '../telemetry/redact.ts';
import { countsText, type DoctorReport, findFirstFailure, pageUrl } from './doctor-report.ts';
import { pageStyle } from './doctor-style.ts';

/** How much the clock of this machine may differ from that of AWS, in ms. */
const maxClockDifferenceMs = 15 * 60_000;

/** Hosts that the timeline and the table of failing hosts show. */
const maxHosts = 200;

export function htmlReport(report: DoctorReport): string {
  const { groups, timeline } = report;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>ecr-pull-secrets doctor</title>
<style>${pageStyle}</style>
</head>
<body>
<h1>ecr-pull-secrets doctor</h1>
${facts(report)}
${overview(groups)}
${groups.map(section).join('\n')}
${expiries(timeline, Date.parse(report.time))}
${failingHosts(timeline)}
</body>
</html>
`;
}

function facts({ version, time, apiServer, namespace, viewpoint, interrupted }: DoctorReport): string {
  const rows: [string, string | undefined][] = [
    ['Time', time],
    ['Version of this program', version],
    ['API server', apiServer],
    ['Namespace of the installation', namespace],
    ['Examined from', viewpoint && (viewpoint === 'inside' ? 'the installation' : "the caller's computer")],
    ['Interrupted by', interrupted],
  ];
  const shown = rows.filter(([, value]) => value !== undefined);
  return `<dl>${shown.map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value ?? '')}</dd>`).join('')}</dl>`;
}

function overview(groups: readonly CheckGroup[]): string {
  const first = findFirstFailure(groups);
  return `<p class="counts">${countsText(groups)}</p>${
    first === undefined
      ? ''
      : `\n<p class="first">First failed check: <code>${escapeHtml(first.check)}</code>: ${escapeHtml(first.summary)}</p>`
  }`;
}

function section({ name, checks }: CheckGroup): string {
  return `<section>
<h2>${escapeHtml(name)}</h2>
<ul class="checks">
${checks.map(item).join('\n')}
</ul>
</section>`;
}

function item(result: CheckResult): string {
  const { check, outcome, summary, meaning, remedy, details = [] } = result;
  const url = outcome === 'ok' ? undefined : pageUrl(result);
  const list = details.map((detail) => `<li>${escapeHtml(detail)}</li>`).join('');
  return [
    `<li class="${outcome}"><span class="outcome">${outcome}</span> <code>${escapeHtml(check)}</code>`,
    `<p class="summary">${escapeHtml(summary)}</p>`,
    list === '' ? '' : `<ul class="details">${list}</ul>`,
    meaning === undefined || outcome === 'ok' ? '' : `<p><b>Meaning:</b> ${escapeHtml(meaning)}</p>`,
    remedy === undefined || outcome === 'ok' ? '' : `<p><b>Remedy:</b> ${escapeHtml(remedy)}</p>`,
    url === undefined ? '' : `<p><a href="${escapeHtml(url)}" rel="noreferrer">${escapeHtml(url)}</a></p>`,
    '</li>',
  ].join('');
}

/**
 * A bar for each token, from the time of the report to its expiry; the soonest first. Anyone who may edit a Secret can write any time
 * into its annotation, so a bar ends where that of a new token does.
 */
function expiries(timeline: readonly TimelineEntry[], now: number): string {
  const entries = timeline
    .flatMap((entry) => (entry.expiresAt === undefined ? [] : [{ ...entry, expiresAt: entry.expiresAt }]))
    .sort((a, b) => a.expiresAt - b.expiresAt);
  if (entries.length === 0) {
    return '';
  }
  const longestMs = Math.min(maxLifetimeMs, Math.max(1, (entries.at(-1)?.expiresAt ?? now) - now));
  const rows = entries.slice(0, maxHosts).map(({ namespace, host, expiresAt }) => {
    const remainingMs = expiresAt - now;
    const width = Math.max(0, Math.min(100, (100 * remainingMs) / longestMs)).toFixed(1);
    const isPossible = remainingMs <= maxLifetimeMs + maxClockDifferenceMs;
    const text = isPossible ? remainingText(remainingMs) : 'later than any ECR token; the Secret was edited';
    const bar = `<div${isPossible ? '' : ' class="impossible"'} style="width:${width}%"></div>`;
    return `<tr><th scope="row">${escapeHtml(namespace)}</th><td>${escapeHtml(host)}</td><td class="bar">${bar}</td><td>${text} (${new Date(expiresAt).toISOString()})</td></tr>`;
  });
  return `<section>
<h2>Token expiries</h2>
<p>The tokens of ${entries.length} hosts, the soonest expiry first. The program renews a token at half of its lifetime.</p>
<table class="timeline"><thead><tr><th scope="col">Namespace</th><th scope="col">Host</th><th scope="col">Remaining</th><th scope="col">Expires</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody></table>${omitted(entries.length)}
</section>`;
}

function failingHosts(timeline: readonly TimelineEntry[]): string {
  const failing = timeline.filter(({ failure }) => failure !== undefined);
  if (failing.length === 0) {
    return '';
  }
  const rows = failing
    .slice(0, maxHosts)
    .map(
      ({ namespace, host, failure }) =>
        `<tr><th scope="row">${escapeHtml(namespace)}</th><td>${escapeHtml(host)}</td><td>${escapeHtml(failure ?? '')}</td></tr>`,
    );
  return `<section>
<h2>Failing hosts</h2>
<table><thead><tr><th scope="col">Namespace</th><th scope="col">Host</th><th scope="col">Cause</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody></table>${omitted(failing.length)}
</section>`;
}

function omitted(length: number): string {
  return length > maxHosts ? `<p>and ${length - maxHosts} more, which --output json lists</p>` : '';
}

function remainingText(ms: number): string {
  if (ms <= 0) {
    return 'expired';
  }
  const minutes = Math.floor(ms / 60_000);
  return minutes >= 60 ? `in ${Math.floor(minutes / 60)}h ${minutes % 60}m` : `in ${minutes}m`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Escapes a text for elements and attributes, and makes control characters visible. */
function escapeHtml(text: string): string {
  return toPrintable(text).replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
