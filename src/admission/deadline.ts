/** What the API server waits where it does not say (kubernetes `pkg/apis/admissionregistration`, timeoutSeconds). */
const defaultTimeoutMs = 10_000;
const longestTimeoutMs = 30_000;

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/**
 * How long the answer to a review may take, in ms: what the API server says in `?timeout=5s` (a Go duration) less a
 * margin for the way back, but never less than half of it.
 */
export function answerWithinMs(timeout: string | undefined, marginMs: number): number {
  const timeoutMs = Math.min(durationMs(timeout) ?? defaultTimeoutMs, longestTimeoutMs);
  return Math.max(timeoutMs - marginMs, timeoutMs / 2);
}

/** The `timeout` in the query of a call's address, as it stands there. */
export function timeoutOf(url: string): string | undefined {
  const query = url.indexOf('?');
  return query < 0 ? undefined : (new URLSearchParams(url.slice(query)).get('timeout') ?? undefined);
}

/** `1m30s`, `5s` or `500ms` in ms; undefined for anything else, and for nothing. */
function durationMs(text: string | undefined): number | undefined {
  if (text === undefined || !/^(\d{1,6}(\.\d{1,9})?(ms|s|m)){1,3}$/.test(text)) {
    return undefined;
  }
  const parts = text.matchAll(/([\d.]+)(ms|s|m)/g);
  return [...parts].reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (units[unit] ?? 0), 0);
}
