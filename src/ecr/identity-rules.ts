// Compiles the rules of the configuration into the resolver of identities.
import { compilePatterns, matchesAny } from '../util/glob.ts';
import { hash64 } from '../util/hash.ts';
import { type LabelMatcher, listSelectorKeys, parseLabelSelector } from '../util/label-selector.ts';
import {
  defaultDecision,
  defaultIdentity,
  type Identity,
  type IdentityDecision,
  type IdentityResolver,
  type Role,
  type UnresolvedCode,
  type UnresolvedIdentity,
  type WebIdentity,
} from './identity.ts';
import { type IdentityFacts, isRoleArn, roleAnnotations } from './identity-facts.ts';
import {
  expandJsonTemplate,
  expandTemplate,
  findPlaceholders,
  type Placeholder,
  type PlaceholderValues,
} from './placeholders.ts';
import type { Registry } from './registry.ts';

/** Selects namespaces and registries, and describes the identity that fetches their tokens. */
export interface IdentityRule {
  /** Namespaces that the rule is for. Both fields must match; an undefined one matches every namespace. */
  readonly namespaces?:
    | { readonly names?: readonly string[] | undefined; readonly selector?: string | undefined }
    | undefined;
  /** Accounts that own the registries, with `*` for any characters; undefined: every account. */
  readonly accounts?: readonly string[] | undefined;
  /** Regions of the registries, with `*` for any characters; undefined: every region. */
  readonly regions?: readonly string[] | undefined;
  /** `deny`: the namespaces get no tokens of the registries. */
  readonly access?: 'allow' | 'deny' | undefined;
  /** The role to assume. With `webIdentity`, the annotation of the ServiceAccount comes first. May contain placeholders. */
  readonly roleArn?: string | undefined;
  readonly externalId?: string | undefined;
  /** May contain placeholders, and is truncated or padded with `-` to a length that STS accepts. */
  readonly sessionName?: string | undefined;
  /** The values may contain placeholders. */
  readonly sessionTags?: Readonly<Record<string, string>> | undefined;
  /** JSON text; its strings may contain placeholders. */
  readonly sessionPolicy?: string | undefined;
  /** The ServiceAccount of the namespace whose token is exchanged for a session of the role. */
  readonly webIdentity?: { readonly serviceAccount: string; readonly audience: string } | undefined;
  /** Roles that the annotation of the ServiceAccount may name, with `*` and placeholders; undefined: every role. */
  readonly allowedRoles?: readonly string[] | undefined;
  /** The base credentials; undefined: the process's own. */
  readonly credentials?: { readonly profile: string } | undefined;
}

/** Bounds of the length of a session name (AWS STS API reference, AssumeRole). A namespace can have one character. */
const minSessionNameLength = 2;
const maxSessionNameLength = 64;

type TextMatcher = (text: string) => boolean;

/** A rule with everything that can be computed once. An undefined matcher matches everything. */
interface CompiledRule {
  readonly rule: IdentityRule;
  /** `registries[INDEX]`. */
  readonly path: string;
  readonly matchesName: TextMatcher | undefined;
  readonly matchesLabels: LabelMatcher | undefined;
  readonly matchesAccount: TextMatcher | undefined;
  readonly matchesRegion: TextMatcher | undefined;
  readonly allowsRole: ((roleArn: string, values: PlaceholderValues) => boolean) | undefined;
  readonly template: IdentityTemplate;
}

/** The identity of a rule before its placeholders are expanded. Rules with equal templates share it. */
interface IdentityTemplate {
  /** Index of the first rule with this template. */
  readonly index: number;
  readonly rule: IdentityRule;
  /** A hash of the template, the same in every process. */
  readonly digest: string;
  readonly placeholders: readonly Placeholder[];
  /** As for an {@link Identity}. */
  readonly isNamespaced: boolean;
  readonly isUnbounded: boolean;
  /** The identity, if it is the same for all namespaces and registries. */
  readonly constant: Identity | undefined;
}

/**
 * Compiles the rules. The first rule that matches namespace and registry decides. Without a matching rule, it is the process's
 * own identity. Rules with the same role, external ID, session name, tags, policy, web identity and profile share an identity,
 * and others never do.
 * @param rules valid rules: see the schema of the configuration
 */
export function createIdentityResolver(
  rules: readonly IdentityRule[],
  facts: IdentityFacts,
): IdentityResolver {
  const compiled = compileRules(rules);
  return (namespace, registry) => {
    for (const one of compiled) {
      const matches = matchesRule(one, namespace, registry, facts);
      if (matches === 'unknown') {
        return unresolved(
          one,
          'namespace-unknown',
          `the labels of namespace ${namespace} are not known, and ${one.path}.namespaces.selector needs them`,
        );
      }
      if (matches) {
        return decide(one, namespace, registry, facts);
      }
    }
    return defaultDecision;
  };
}

/** Which facts the rules need, so that nothing else is watched. */
export interface NeededFacts {
  /** Keys of the labels of namespaces; empty: no rule has a selector. */
  readonly labelKeys: readonly string[];
  /** Names of the ServiceAccounts. */
  readonly serviceAccounts: readonly string[];
}

export function findNeededFacts(rules: readonly IdentityRule[]): NeededFacts {
  return {
    labelKeys: [...new Set(rules.flatMap(({ namespaces }) => listSelectorKeys(namespaces?.selector ?? '')))],
    serviceAccounts: [...new Set(rules.flatMap(({ webIdentity }) => webIdentity?.serviceAccount ?? []))],
  };
}

/** Whether users can cause any number of identities: one for each namespace or account that they name. */
export function causeUnboundedIdentities(rules: readonly IdentityRule[]): boolean {
  return rules.some((rule) => rule.access !== 'deny' && isUnbounded(rule));
}

/**
 * Whether the process's own credentials may be used: to fetch tokens where no rule matches, or to assume the role of a rule. They
 * are not if rules that use others, or deny access, match everything.
 */
export function usesOwnCredentials(rules: readonly IdentityRule[]): boolean {
  for (const rule of rules) {
    if (rule.access !== 'deny' && rule.webIdentity === undefined && rule.credentials === undefined) {
      return true;
    }
    if (matchesEverything(rule)) {
      return false;
    }
  }
  return true;
}

function matchesEverything(rule: IdentityRule): boolean {
  const { namespaces, accounts, regions } = rule;
  return (
    namespaces?.names === undefined &&
    !namespaces?.selector &&
    accounts === undefined &&
    regions === undefined &&
    !dependsOnAccount(rule)
  );
}

function compileRules(rules: readonly IdentityRule[]): CompiledRule[] {
  const templates = new Map<string, IdentityTemplate>();
  return rules.map((rule, index) => {
    const text = serializeTemplate(rule);
    const template = templates.get(text) ?? createTemplate(rule, index, text);
    templates.set(text, template);
    const { names, selector } = rule.namespaces ?? {};
    return {
      rule,
      path: toPath(index),
      matchesName: names && compilePatterns(names),
      matchesLabels: selector ? compileSelector(selector) : undefined,
      matchesAccount: rule.accounts && compilePatterns(rule.accounts),
      matchesRegion: rule.regions && compilePatterns(rule.regions),
      allowsRole: rule.allowedRoles && compileAllowedRoles(rule.allowedRoles),
      template,
    };
  });
}

/** A selector that matched nothing instead of being refused would disable a rule that denies access. */
function compileSelector(selector: string): LabelMatcher {
  const matcher = parseLabelSelector(selector);
  if (matcher === undefined) {
    throw new Error(`the configuration contains an invalid label selector: ${selector}`);
  }
  return matcher;
}

function compileAllowedRoles(patterns: readonly string[]): NonNullable<CompiledRule['allowsRole']> {
  const matchesConstant = compilePatterns(patterns.filter((one) => findPlaceholders([one]).length === 0));
  const templates = patterns.filter((one) => findPlaceholders([one]).length > 0);
  return (roleArn, values) =>
    matchesConstant(roleArn) || templates.some((one) => matchesAny([expandTemplate(one, values)], roleArn));
}

function toPath(index: number): string {
  return `registries[${index}]`;
}

/** Everything that makes the identities of two rules differ. */
function serializeTemplate(rule: IdentityRule): string {
  const { roleArn, externalId, sessionName, sessionPolicy, sessionTags, webIdentity, credentials } = rule;
  const tags = Object.entries(sessionTags ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = [
    roleArn,
    externalId,
    sessionName,
    sessionPolicy,
    tags.length === 0 ? undefined : tags,
    webIdentity && [webIdentity.serviceAccount, webIdentity.audience],
    credentials?.profile,
  ];
  return JSON.stringify(parts.map((part) => part ?? null));
}

/** Whether the identity of a rule depends on the account. The public registry belongs to none, so the rule is not for it. */
export function dependsOnAccount(rule: IdentityRule): boolean {
  return findRulePlaceholders(rule).includes('account');
}

function dependsOnNamespace(rule: IdentityRule): boolean {
  return rule.webIdentity !== undefined || findRulePlaceholders(rule).includes('namespace');
}

function isUnbounded(rule: IdentityRule): boolean {
  return dependsOnNamespace(rule) || dependsOnAccount(rule);
}

function findRulePlaceholders({
  roleArn,
  sessionName,
  sessionPolicy,
  sessionTags,
}: IdentityRule): Placeholder[] {
  const templates = [roleArn, sessionName, sessionPolicy, ...Object.values(sessionTags ?? {})];
  return findPlaceholders(templates.filter((template) => template !== undefined));
}

function createTemplate(rule: IdentityRule, index: number, text: string): IdentityTemplate {
  const { roleArn, webIdentity, credentials } = rule;
  const placeholders = findRulePlaceholders(rule);
  const template = {
    ...{ index, rule, digest: hash64(text), placeholders, constant: undefined },
    isNamespaced: dependsOnNamespace(rule),
    isUnbounded: isUnbounded(rule),
  };
  if (roleArn === undefined && webIdentity === undefined && credentials === undefined) {
    return { ...template, constant: defaultIdentity };
  }
  return placeholders.length === 0 && webIdentity === undefined
    ? { ...template, constant: new RuleIdentity(template, noValues) }
    : template;
}

const noValues: PlaceholderValues = { namespace: '', account: '', region: '', partition: '' };

/**
 * The labels are compared last, so that they are needed only if everything else matches. The public registry belongs to no
 * account, so no rule that needs one is for it.
 */
function matchesRule(
  { matchesName, matchesAccount, matchesRegion, matchesLabels, template }: CompiledRule,
  namespace: string,
  registry: Registry,
  facts: IdentityFacts,
): boolean | 'unknown' {
  if (
    matchesName?.(namespace) === false ||
    (matchesAccount !== undefined && !(registry.kind === 'private' && matchesAccount(registry.account))) ||
    (registry.kind === 'public' && template.placeholders.includes('account')) ||
    matchesRegion?.(registry.region) === false
  ) {
    return false;
  }
  if (matchesLabels === undefined) {
    return true;
  }
  const labels = facts.namespaceLabels(namespace);
  return labels === undefined ? 'unknown' : matchesLabels(labels);
}

function decide(
  compiled: CompiledRule,
  namespace: string,
  registry: Registry,
  facts: IdentityFacts,
): IdentityDecision {
  const { rule, path, template } = compiled;
  if (rule.access === 'deny') {
    return { access: 'denied', rule: path };
  }
  if (template.constant !== undefined) {
    return template.constant === defaultIdentity
      ? defaultDecision
      : { access: 'allowed', identity: template.constant };
  }
  const { region, partition } = registry;
  const account = registry.kind === 'private' ? registry.account : '';
  const values = { namespace, account, region, partition };
  if (rule.webIdentity === undefined) {
    return { access: 'allowed', identity: new RuleIdentity(template, values) };
  }
  const role = findAnnotatedRole(compiled, values, facts);
  return typeof role === 'object'
    ? role
    : { access: 'allowed', identity: new RuleIdentity(template, values, role) };
}

/** @returns the role of the ServiceAccount's annotation, undefined if the one of the rule applies, or why there is none */
function findAnnotatedRole(
  compiled: CompiledRule,
  values: PlaceholderValues,
  facts: IdentityFacts,
): string | undefined | UnresolvedIdentity {
  const { rule, path } = compiled;
  const { serviceAccount = '' } = rule.webIdentity ?? {};
  const name = `ServiceAccount ${values.namespace}/${serviceAccount}`;
  const fact = facts.serviceAccount(values.namespace, serviceAccount);
  if (fact.state === 'unknown') {
    const message = `${name} is not known yet, and ${path}.webIdentity needs it`;
    return unresolved(compiled, 'service-account-unknown', message);
  }
  if (fact.state === 'missing') {
    const message = `${name} does not exist, and ${path}.webIdentity needs it`;
    return unresolved(compiled, 'service-account-missing', message);
  }
  if (fact.role === undefined) {
    const message = `${name} has neither annotation ${roleAnnotations.join(' nor ')}, and ${path} has no roleArn`;
    return rule.roleArn === undefined ? unresolved(compiled, 'role-missing', message) : undefined;
  }
  const { annotation, roleArn } = fact.role;
  if (!isRoleArn(roleArn)) {
    const message = `annotation ${annotation} of ${name} is not the ARN of an IAM role`;
    return unresolved(compiled, 'role-invalid', message);
  }
  return compiled.allowsRole?.(roleArn, values) !== false
    ? roleArn
    : unresolved(
        compiled,
        'role-not-allowed',
        `${path}.allowedRoles does not contain ${roleArn}, the role in annotation ${annotation} of ${name}`,
      );
}

function unresolved({ path }: CompiledRule, code: UnresolvedCode, message: string): UnresolvedIdentity {
  return { access: 'unresolved', code, rule: path, message };
}

/** Expands its parts only when they are read, because a plan compares the fingerprints of 10,000 namespaces. */
class RuleIdentity implements Identity {
  readonly #template: IdentityTemplate;
  readonly #values: PlaceholderValues;
  readonly #annotatedRole: string | undefined;

  constructor(template: IdentityTemplate, values: PlaceholderValues, annotatedRole?: string) {
    this.#template = template;
    this.#values = values;
    this.#annotatedRole = annotatedRole;
  }

  /** Values and role ARNs contain no `#`, so what follows the last one is unambiguous: it determines the identity. */
  get key(): string {
    const { index } = this.#template;
    const values = this.#distinguishingValues().map(([name, value]) => ` ${name}=${value}`);
    return `${this.#roleArn() ?? `profile ${this.profile}`}#${index}${values.join('')}`;
  }

  get fingerprint(): string {
    let text = this.#template.digest;
    for (const [, value] of this.#distinguishingValues()) {
      text += `\0${value}`;
    }
    return hash64(text);
  }

  get isNamespaced(): boolean {
    return this.#template.isNamespaced;
  }

  get isUnbounded(): boolean {
    return this.#template.isUnbounded;
  }

  get rule(): string {
    return toPath(this.#template.index);
  }

  get role(): Role | undefined {
    const { externalId, sessionName, sessionPolicy, sessionTags } = this.#template.rule;
    const roleArn = this.#roleArn();
    const expand = (template: string) => expandTemplate(template, this.#values);
    return roleArn === undefined
      ? undefined
      : {
          roleArn,
          externalId,
          sessionName:
            sessionName &&
            expand(sessionName).slice(0, maxSessionNameLength).padEnd(minSessionNameLength, '-'),
          sessionPolicy: sessionPolicy && expandJsonTemplate(sessionPolicy, this.#values),
          sessionTags:
            sessionTags &&
            Object.fromEntries(Object.entries(sessionTags).map(([key, value]) => [key, expand(value)])),
        };
  }

  get profile(): string | undefined {
    return this.#template.rule.credentials?.profile;
  }

  get webIdentity(): WebIdentity | undefined {
    const { webIdentity } = this.#template.rule;
    return webIdentity && { namespace: this.#values.namespace, ...webIdentity };
  }

  #roleArn(): string | undefined {
    const { roleArn } = this.#template.rule;
    return this.#annotatedRole ?? (roleArn && expandTemplate(roleArn, this.#values));
  }

  /** What distinguishes the identities of one template. */
  #distinguishingValues(): [string, string][] {
    const { placeholders, rule } = this.#template;
    const values = placeholders.map((name): [string, string] => [name, this.#values[name]]);
    if (rule.webIdentity === undefined) {
      return values;
    }
    const subject: [string, string] = ['subject', this.#values.namespace];
    return [...values, subject, ['role', this.#annotatedRole ?? '']];
  }
}
