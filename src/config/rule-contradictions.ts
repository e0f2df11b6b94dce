// Finds rules of `registries` that can never apply, and settings of a rule that exclude each other.
import { dependsOnAccount } from '../ecr/identity-rules.ts';
import { expandTemplate } from '../ecr/placeholders.ts';
import { publicRegion } from '../ecr/registry.ts';
import { matchesAny } from '../util/glob.ts';
import type { Problem } from './problems.ts';
import type { Config } from './schema.ts';

type Rule = Config['registries'][number];

/** Settings that describe an identity. */
const identitySettings = [
  ...(['roleArn', 'externalId', 'sessionName', 'sessionTags', 'sessionPolicy'] as const),
  ...(['webIdentity', 'allowedRoles', 'credentials'] as const),
];

/** Settings that are parameters of AssumeRole. */
const roleSettings = ['externalId', 'sessionName', 'sessionTags', 'sessionPolicy'] as const;

/** Returns a problem for each rule that has no effect or contradicts itself. */
export function findRuleContradictions(config: Config): Problem[] {
  const { registries, exclude } = config;
  return registries.flatMap((rule, index) => {
    const path = `registries[${index}]`;
    const empty = findEmptyList(rule, path);
    if (empty !== undefined) {
      return [empty];
    }
    return [
      ...findConflictingSettings(rule, path),
      ...findExcluded(rule, path, exclude),
      ...findHidden(config, index),
    ];
  });
}

function findEmptyList(rule: Rule, path: string): Problem | undefined {
  const lists: [string, readonly string[] | undefined, string][] = [
    ['namespaces.names', rule.namespaces?.names, 'namespace'],
    ['accounts', rule.accounts, 'registry'],
    ['regions', rule.regions, 'registry'],
    ['allowedRoles', rule.allowedRoles, 'role'],
  ];
  const [key, , subject] = lists.find(([, list]) => list?.length === 0) ?? [];
  return key === undefined
    ? undefined
    : {
        path: `${path}.${key}`,
        text: `is empty, so the rule matches no ${subject}; omit it to match all`,
      };
}

function findConflictingSettings(rule: Rule, path: string): Problem[] {
  const present = identitySettings.filter((key) => rule[key] !== undefined);
  const problem = (key: string, text: string): Problem => ({ path: `${path}.${key}`, text });
  if (rule.access === 'deny') {
    return present.map((key) => problem(key, 'has no effect with access: deny; remove one of them'));
  }
  if (present.length === 0 && rule.access === undefined) {
    const text = 'names no identity; set roleArn, webIdentity, credentials or access';
    return [{ path, text }];
  }
  if (rule.webIdentity !== undefined) {
    return [...findWebIdentityConflicts(rule, problem), ...findForbiddenOwnRole(rule, path)];
  }
  const withoutRole =
    rule.roleArn === undefined
      ? roleSettings
          .filter((key) => rule[key] !== undefined)
          .map((key) => problem(key, 'has no effect without roleArn'))
      : [];
  return rule.allowedRoles === undefined
    ? withoutRole
    : [...withoutRole, problem('allowedRoles', 'has no effect without webIdentity')];
}

function findWebIdentityConflicts(rule: Rule, problem: (key: string, text: string) => Problem): Problem[] {
  const reasons = {
    externalId: 'cannot be used with webIdentity, because AssumeRoleWithWebIdentity takes no external ID',
    sessionTags:
      'cannot be used with webIdentity, because AssumeRoleWithWebIdentity takes no session tags; they come from the token',
    credentials: 'cannot be used with webIdentity, because the token of the ServiceAccount replaces them',
  };
  return (['externalId', 'sessionTags', 'credentials'] as const)
    .filter((key) => rule[key] !== undefined)
    .map((key) => problem(key, reasons[key]));
}

/** With `*` for each placeholder on both sides, a role is allowed if the same pattern, or a wider one, is. */
function findForbiddenOwnRole({ roleArn, allowedRoles }: Rule, path: string): Problem[] {
  if (roleArn === undefined || allowedRoles === undefined) {
    return [];
  }
  const widen = (template: string) =>
    expandTemplate(template, { namespace: '*', account: '*', region: '*', partition: '*' });
  const isAllowed = matchesAny(allowedRoles.map(widen), widen(roleArn));
  return isAllowed
    ? []
    : [{ path: `${path}.roleArn`, text: `is not in ${path}.allowedRoles; add it, or remove one of them` }];
}

function findExcluded(rule: Rule, path: string, exclude: Config['exclude']): Problem[] {
  const lists: [string, readonly string[] | undefined, readonly string[], string][] = [
    ['namespaces.names', rule.namespaces?.names, exclude.namespaces, 'exclude.namespaces'],
    ['accounts', rule.accounts, exclude.accounts, 'exclude.accounts'],
  ];
  return lists
    .filter(([, patterns, excluded]) => patterns?.every((pattern) => matchesAny(excluded, pattern)))
    .map(([key, , , other]) => ({
      path: `${path}.${key}`,
      text: `contains only what ${other} excludes, so the rule is never used`,
    }));
}

/** The first matching rule applies, so a rule is never used if an earlier one matches everything that it matches. */
function findHidden({ registries: rules, publicRegistry }: Config, index: number): Problem[] {
  const rule = rules[index];
  const wider = rules
    .slice(0, index)
    .findIndex(
      (earlier) =>
        rule !== undefined &&
        coversRule(earlier, rule) &&
        !(publicRegistry && matchesPublicRegistry(rule) && !matchesPublicRegistry(earlier)),
    );
  return wider === -1
    ? []
    : [
        {
          path: `registries[${index}]`,
          text: `is never used, because registries[${wider}] matches the same registries and comes first`,
        },
      ];
}

function matchesPublicRegistry(rule: Rule): boolean {
  const { accounts, regions } = rule;
  const isInRegions = regions === undefined || matchesAny(regions, publicRegion);
  return accounts === undefined && isInRegions && !dependsOnAccount(rule);
}

function coversRule(wide: Rule, narrow: Rule): boolean {
  const selector = wide.namespaces?.selector;
  return (
    coversAll(wide.accounts, narrow.accounts) &&
    coversAll(wide.regions, narrow.regions) &&
    coversAll(wide.namespaces?.names, narrow.namespaces?.names) &&
    (selector === undefined || selector === narrow.namespaces?.selector)
  );
}

/** Whether one list of patterns matches everything that another one matches; undefined matches everything. */
function coversAll(wide: readonly string[] | undefined, narrow: readonly string[] | undefined): boolean {
  return wide === undefined || (narrow?.every((pattern) => matchesAny(wide, pattern)) ?? false);
}
