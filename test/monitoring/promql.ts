// Finds selectors and metrics in PromQL expressions.

/** A selector such as `up{job="x"}`. Metrics without braces occur in no query of the chart. */
const selector = /\b([a-z_][a-z0-9_]*)\{[^}]*\}/g;

/** The distinct selectors of an expression, with their matchers and without ranges. */
export function selectorsIn(expr: string): string[] {
  return [...new Set([...expr.matchAll(selector)].map(([text]) => text))];
}

/** The names of the metrics in an expression. The series of a histogram have the name of the histogram. */
export function metricNamesIn(expr: string): string[] {
  return [...expr.matchAll(selector)].map(([, name = '']) => name.replace(/_(bucket|count|sum)$/, ''));
}
