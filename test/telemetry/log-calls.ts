// Finds every call of the log in src: its level, message and field names.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync } from '@swc/core';

const root = join(import.meta.dirname, '../..');

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

export interface LogCall {
  /** `path:line` below the root of the repository. */
  readonly place: string;
  /** Levels at which the call may log, in ascending order. */
  readonly levels: readonly string[];
  /** undefined for a message that is no string literal */
  readonly message: string | undefined;
  readonly fields: readonly string[];
  /** Whether fields are added that only show at run time. */
  readonly hasOtherFields: boolean;
}

/** A node of the syntax tree of swc. */
interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** All calls `log.LEVEL(…)` and `log[level](…)` in src, in the order of files and lines. */
export function findLogCalls(): LogCall[] {
  return globSync('src/**/*.ts', { cwd: root })
    .toSorted()
    .flatMap((file) => findLogCallsIn(file, readFileSync(join(root, file), 'utf8')));
}

/** @param file path of the source below the root, for {@link LogCall.place} */
export function findLogCallsIn(file: string, source: string): LogCall[] {
  // swc counts offsets from the first token, so the text begins with one
  const bytes = Buffer.from(`;${source.replace(/^#!/, '//')}`);
  const module = parseSync(bytes.toString(), { syntax: 'typescript', target: 'esnext' });
  const nodes = [...walk(module)];
  const lineOf = (node: Node) =>
    bytes
      .subarray(0, startOf(node) - module.span.start)
      .toString()
      .split('\n').length;
  return nodes.flatMap((node) => {
    const level = node.type === 'CallExpression' ? getLevelOf(unwrap(node['callee'])) : undefined;
    if (level === undefined) {
      return [];
    }
    const args = (node['arguments'] as { expression: Node }[]).map(({ expression }) => unwrap(expression));
    const [fields, message] = args.length > 1 ? args : [undefined, args[0]];
    const call = {
      place: `${file}:${lineOf(node)}`,
      levels: isNode(level) ? findComputedLevels(level, nodes) : [level],
      ...findFields(fields),
    };
    return findLiterals(message).map((text) => ({ ...call, message: text }));
  });
}

function* walk(value: unknown): Generator<Node> {
  if (Array.isArray(value)) {
    for (const element of value) {
      yield* walk(element);
    }
  } else if (typeof value === 'object' && value !== null) {
    if (isNode(value)) {
      yield value;
    }
    yield* walk(Object.values(value));
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

function startOf(node: Node): number {
  return (node['span'] as { start: number }).start;
}

/** The level of `….log.LEVEL` or `log.LEVEL`; a node for `log[…]`; undefined for everything else. */
function getLevelOf(callee: Node): string | Node | undefined {
  if (callee.type !== 'MemberExpression' || nameOf(unwrap(callee['object'])) !== 'log') {
    return undefined;
  }
  const property = callee['property'] as Node;
  if (property.type === 'Computed') {
    return property['expression'] as Node;
  }
  return levels.find((level) => level === property['value']);
}

/** The name of a variable, or of the last member: `log` for `this.#dependencies.log`. */
function nameOf(node: Node): unknown {
  return node.type === 'MemberExpression' ? nameOf(node['property'] as Node) : node['value'];
}

/** The levels that the variable of `log[level]` may have: the ones in its nearest declaration above. */
function findComputedLevels(variable: Node, nodes: readonly Node[]): string[] {
  const declaration = nodes.findLast(
    (node) =>
      node.type === 'VariableDeclarator' &&
      isNode(node['id']) &&
      node['id']['value'] === variable['value'] &&
      startOf(node) < startOf(variable),
  );
  const strings = [...walk(declaration?.['init'])].map(
    ({ type, value }) => type === 'StringLiteral' && value,
  );
  return levels.filter((level) => strings.includes(level));
}

/** The texts of a string literal, or of a choice between several; undefined for every other part. */
function findLiterals(node: Node | undefined): (string | undefined)[] {
  if (node?.type === 'ConditionalExpression') {
    return [node['consequent'], node['alternate']].flatMap((choice) => findLiterals(unwrap(choice)));
  }
  return [node?.type === 'StringLiteral' ? String(node['value']) : undefined];
}

function findFields(node: Node | undefined): Pick<LogCall, 'fields' | 'hasOtherFields'> {
  if (node === undefined) {
    return { fields: [], hasOtherFields: false };
  }
  if (node.type === 'BinaryExpression' && node['operator'] === '&&') {
    return findFields(unwrap(node['right']));
  }
  if (node.type !== 'ObjectExpression') {
    return { fields: [], hasOtherFields: true };
  }
  const properties = (node['properties'] as Node[]).map((property) => {
    if (property.type === 'SpreadElement') {
      return findFields(unwrap(property['arguments']));
    }
    const key = isNode(property['key']) ? property['key'] : property;
    return { fields: [String(key['value'])], hasOtherFields: false };
  });
  return {
    fields: [...new Set(properties.flatMap(({ fields }) => fields))],
    hasOtherFields: properties.some(({ hasOtherFields }) => hasOtherFields),
  };
}

/** Without parentheses, `?.`, `as` and `satisfies`. */
function unwrap(value: unknown): Node {
  const node = value as Node;
  const inner = node['base'] ?? node['expression'];
  return /^(Parenthesis|OptionalChaining|TsAs|TsSatisfies)Expression$/.test(node.type) ? unwrap(inner) : node;
}
