// Parses label selectors as kubectl and the API server take them, and matches them against labels.

/** The labels of an object, by key. */
export type Labels = Readonly<Record<string, string>>;

/** Whether labels meet a selector. */
export type LabelMatcher = (labels: Labels) => boolean;

/** A label key: an optional DNS subdomain with a slash, and a name of at most 63 characters. */
const keyPattern =
  /^(?:(?=[^/]{1,253}\/)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?$/;

/** A label value: empty, or at most 63 characters. */
const valuePattern = /^(?:[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)?$/;

export function isLabelKey(text: string): boolean {
  return keyPattern.test(text);
}

export function isLabelValue(text: string): boolean {
  return valuePattern.test(text);
}

/** Operators and separators; everything else up to white space or one of them is a word. */
const tokenPattern = /\s*(!=|==|[=!(),]|[^\s=!(),]+)\s*/y;

/**
 * Parses a selector with the grammar of the API server (k8s.io/apimachinery `pkg/labels/selector.go`), except `>` and `<`:
 * `key`, `!key`, `key=value`, `key==value`, `key!=value`, `key in (a, b)` and `key notin (a, b)`, separated by commas. All
 * requirements must be met. An empty selector matches everything.
 * @returns undefined if the text is not a selector
 */
export function parseLabelSelector(text: string): LabelMatcher | undefined {
  const tokens = tokenize(text);
  if (tokens === undefined) {
    return undefined;
  }
  if (tokens.length === 0) {
    return () => true;
  }
  const parser = new RequirementParser(tokens);
  const requirements: LabelMatcher[] = [];
  do {
    const requirement = parser.parseRequirement();
    if (requirement === undefined) {
      return undefined;
    }
    requirements.push(requirement);
  } while (parser.accept(','));
  return parser.isAtEnd ? (labels) => requirements.every((matches) => matches(labels)) : undefined;
}

/** Returns the keys that a selector names; none if it is not a selector. */
export function listSelectorKeys(text: string): string[] {
  const parser = new RequirementParser(tokenize(text) ?? []);
  while (parser.parseRequirement() !== undefined && parser.accept(',')) {
    // each requirement adds its key
  }
  return parser.keys;
}

function tokenize(text: string): string[] | undefined {
  const tokens: string[] = [];
  const { length } = text.trimEnd();
  let end = 0;
  while (end < length) {
    tokenPattern.lastIndex = end;
    const token = tokenPattern.exec(text)?.[1];
    if (token === undefined) {
      return undefined;
    }
    tokens.push(token);
    end = tokenPattern.lastIndex;
  }
  return tokens;
}

/** Reads one requirement after the other from tokens. */
class RequirementParser {
  readonly #tokens: readonly string[];
  /** The keys of the requirements so far. */
  readonly keys: string[] = [];
  #next = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  get isAtEnd(): boolean {
    return this.#next === this.#tokens.length;
  }

  /** Takes the next token if it is this one. */
  accept(token: string): boolean {
    const isNext = this.#tokens[this.#next] === token;
    this.#next += isNext ? 1 : 0;
    return isNext;
  }

  parseRequirement(): LabelMatcher | undefined {
    const isNegated = this.accept('!');
    const key = this.#takeWord();
    if (!isLabelKey(key)) {
      return undefined;
    }
    this.keys.push(key);
    if (isNegated || this.isAtEnd || this.#tokens[this.#next] === ',') {
      return (labels) => Object.hasOwn(labels, key) !== isNegated;
    }
    const operator = this.#tokens[this.#next++];
    const isSet = operator === 'in' || operator === 'notin';
    if (!isSet && operator !== '=' && operator !== '==' && operator !== '!=') {
      return undefined;
    }
    const values = isSet ? this.#parseValueSet() : [this.#takeWord()];
    if (values?.every(isLabelValue) !== true) {
      return undefined;
    }
    return operator === 'notin' || operator === '!='
      ? (labels) => !(Object.hasOwn(labels, key) && values.includes(labels[key] ?? ''))
      : (labels) => Object.hasOwn(labels, key) && values.includes(labels[key] ?? '');
  }

  /** Values in parentheses. A value may be empty: `(a,)`. */
  #parseValueSet(): string[] | undefined {
    if (!this.accept('(')) {
      return undefined;
    }
    const values = [this.#takeWord()];
    while (this.accept(',')) {
      values.push(this.#takeWord());
    }
    return this.accept(')') ? values : undefined;
  }

  /** Takes the next word; an empty string if an operator or the end follows. */
  #takeWord(): string {
    const token = this.#tokens[this.#next];
    if (token === undefined || /^[=!(),]/.test(token)) {
      return '';
    }
    this.#next += 1;
    return token;
  }
}
