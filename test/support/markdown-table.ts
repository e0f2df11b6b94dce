// Formats Markdown tables the way the pages under docs/ have them: aligned columns.

/** @param rows the header first; `|` is escaped */
export function formatMarkdownTable(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const formatRow = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`;
  const [header = [], ...body] = cells;
  return [header, widths.map((width) => '-'.repeat(width)), ...body].map(formatRow).join('');
}
