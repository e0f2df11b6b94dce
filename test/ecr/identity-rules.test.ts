// Which identity, or none, the rules choose for a namespace and a registry.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Identity, type IdentityDecision, isOfIdentity } from '../../src/ecr/identity.ts';
import {
  findRoleAnnotation,
  type IdentityFacts,
  type ServiceAccountFact,
  unknownFacts,
} from '../../src/ecr/identity-facts.ts';
import {
  causeUnboundedIdentities,
  createIdentityResolver,
  findNeededFacts,
  type IdentityRule,
  usesOwnCredentials,
} from '../../src/ecr/identity-rules.ts';
import type { Labels } from '../../src/util/label-selector.ts';
import { registryOfHost } from '../support/registries.ts';
import { registry } from './token-fixtures.ts';

const account = 'arn:aws:iam::123456789012';

function factsOf(
  labels: Readonly<Record<string, Labels>>,
  accounts: Readonly<Record<string, ServiceAccountFact>> = {},
): IdentityFacts {
  return {
    namespaceLabels: (namespace) => labels[namespace],
    serviceAccount: (namespace, name) => accounts[`${namespace}/${name}`] ?? { state: 'missing' },
  };
}

function allowed(decision: IdentityDecision): Identity {
  assert.ok(decision.access === 'allowed', JSON.stringify(decision));
  return decision.identity;
}

describe('the namespaces of a rule', () => {
  const rules: IdentityRule[] = [
    { namespaces: { names: ['team-*'], selector: 'tier=prod' }, roleArn: `${account}:role/prod` },
    { namespaces: { names: ['team-*'] }, roleArn: `${account}:role/team` },
    { namespaces: { selector: 'tier in (test)' }, roleArn: `${account}:role/test` },
    { namespaces: {}, accounts: ['210987654321'], roleArn: `${account}:role/other` },
  ];

  it('match by name and label, both, and the first rule decides', () => {
    const labels = { 'team-a': { tier: 'prod' }, 'team-b': { tier: 'test' }, x: { tier: 'test' }, y: {} };
    const resolve = createIdentityResolver(rules, factsOf(labels));
    const roleOf = (namespace: string, one = registry()) =>
      allowed(resolve(namespace, one)).role?.roleArn.replace(/.*\//, '');
    assert.deepEqual(
      ['team-a', 'team-b', 'x', 'y'].map((namespace) => roleOf(namespace)),
      ['prod', 'team', 'test', undefined],
    );
    assert.equal(roleOf('y', registry('eu-west-1', '210987654321')), 'other');
  });

  it('are unresolved while the labels that a rule needs are not known', () => {
    const resolve = createIdentityResolver(rules, unknownFacts);
    assert.deepEqual(resolve('team-a', registry()), {
      access: 'unresolved',
      code: 'namespace-unknown',
      rule: 'registries[0]',
      message:
        'the labels of namespace team-a are not known, and registries[0].namespaces.selector needs them',
    });
  });

  it('need labels only if everything else of the rule matches', () => {
    const selecting: IdentityRule[] = [
      { namespaces: { names: ['team-*'], selector: 'a' }, access: 'deny' },
      { namespaces: { selector: 'a' }, accounts: ['210987654321'], access: 'deny' },
      { namespaces: { selector: 'a' }, regions: ['us-*'], access: 'deny' },
    ];
    const resolve = createIdentityResolver(selecting, unknownFacts);
    assert.equal(allowed(resolve('other', registry())).key, 'default');
    assert.equal(resolve('other', registry('us-east-1')).access, 'unresolved');
  });

  it('decide which facts are needed', () => {
    assert.deepEqual(findNeededFacts(rules), { labelKeys: ['tier'], serviceAccounts: [] });
    const web = (serviceAccount: string) => ({ webIdentity: { serviceAccount, audience: 'a' } });
    assert.deepEqual(findNeededFacts([web('x'), web('y'), web('x'), { namespaces: { names: ['a'] } }]), {
      labelKeys: [],
      serviceAccounts: ['x', 'y'],
    });
  });
});

describe('access', () => {
  it('is denied by the first matching rule, which is named', () => {
    const resolve = createIdentityResolver(
      [
        { namespaces: { names: ['sandbox-ok'] }, access: 'allow' },
        { namespaces: { names: ['sandbox-*'] }, access: 'deny' },
      ],
      unknownFacts,
    );
    assert.deepEqual(resolve('sandbox-1', registry()), { access: 'denied', rule: 'registries[1]' });
    assert.equal(allowed(resolve('sandbox-ok', registry())).fingerprint, undefined);
    assert.equal(isOfIdentity(undefined, resolve('sandbox-1', registry())), false);
  });
});

describe('a web identity', () => {
  const rule: IdentityRule = {
    webIdentity: { serviceAccount: 'ecr-pull', audience: 'sts.amazonaws.com' },
    roleArn: `${account}:role/default-{namespace}`,
    allowedRoles: [`${account}:role/team-{namespace}`, 'arn:aws:iam::*:role/shared'],
  };
  const annotated = (roleArn: string): ServiceAccountFact => ({
    state: 'exists',
    role: { annotation: 'eks.amazonaws.com/role-arn', roleArn },
  });
  const decide = (fact: ServiceAccountFact, changes: Partial<IdentityRule> = {}) =>
    createIdentityResolver([{ ...rule, ...changes }], factsOf({}, { 'a/ecr-pull': fact }))('a', registry());
  const codeOf = (decision: IdentityDecision) =>
    decision.access === 'unresolved' ? [decision.code, decision.message] : decision.access;
  const name = 'ServiceAccount a/ecr-pull';

  it("has the role of the ServiceAccount's annotation, or else that of the rule", () => {
    const own = allowed(decide(annotated(`${account}:role/team-a`)));
    assert.deepEqual(own.webIdentity, {
      namespace: 'a',
      serviceAccount: 'ecr-pull',
      audience: 'sts.amazonaws.com',
    });
    assert.equal(own.role?.roleArn, `${account}:role/team-a`);
    const fallback = allowed(decide({ state: 'exists', role: undefined }));
    assert.equal(fallback.role?.roleArn, `${account}:role/default-a`);
    assert.notEqual(own.fingerprint, fallback.fingerprint);
    assert.notEqual(own.key, fallback.key);
    assert.equal(allowed(decide(annotated('arn:aws:iam::999999999999:role/shared'))).isNamespaced, true);
  });

  it('is unresolved while its role is not known, and says why', () => {
    assert.deepEqual(codeOf(decide({ state: 'unknown' })), [
      'service-account-unknown',
      `${name} is not known yet, and registries[0].webIdentity needs it`,
    ]);
    assert.deepEqual(codeOf(decide({ state: 'missing' })), [
      'service-account-missing',
      `${name} does not exist, and registries[0].webIdentity needs it`,
    ]);
    const { roleArn: _, ...withoutRole } = rule;
    assert.deepEqual(
      codeOf(
        createIdentityResolver(
          [withoutRole],
          factsOf({}, { 'a/ecr-pull': { state: 'exists', role: undefined } }),
        )('a', registry()),
      ),
      [
        'role-missing',
        `${name} has neither annotation eks.amazonaws.com/ecr-role-arn nor eks.amazonaws.com/role-arn, and registries[0] has no roleArn`,
      ],
    );
    assert.deepEqual(codeOf(decide(annotated(`${account}:role/team-b`))), [
      'role-not-allowed',
      `registries[0].allowedRoles does not contain ${account}:role/team-b, the role in annotation eks.amazonaws.com/role-arn of ${name}`,
    ]);
  });

  it('refuses an annotation that is not the ARN of a role, and does not repeat it', () => {
    for (const text of [
      `${account}:user/x`,
      'x',
      `${account}:role/a b`,
      `${account}:role/a#1`,
      `${account}:role/\n`,
    ]) {
      assert.deepEqual(codeOf(decide(annotated(text))), [
        'role-invalid',
        `annotation eks.amazonaws.com/role-arn of ${name} is not the ARN of an IAM role`,
      ]);
    }
  });

  it('takes the annotation for image pulls first, and ignores empty ones', () => {
    const role = (annotations: Record<string, string> | undefined) =>
      findRoleAnnotation(annotations)?.roleArn;
    const both = { 'eks.amazonaws.com/role-arn': 'pods', 'eks.amazonaws.com/ecr-role-arn': 'pulls' };
    assert.equal(role(both), 'pulls');
    assert.equal(role({ ...both, 'eks.amazonaws.com/ecr-role-arn': '' }), 'pods');
    assert.equal(role({}), undefined);
    assert.equal(role(undefined), undefined);
  });
});

describe('an expanded role', () => {
  it('has the parts of the registry, of its partition too, and a session name of at most 64 characters', () => {
    const variable = `$${'{aws:username}'}`; // a policy variable of IAM is no placeholder
    const resolve = createIdentityResolver(
      [
        {
          roleArn: 'arn:{partition}:iam::{account}:role/{namespace}-{region}',
          sessionName: 'pull-{namespace}',
          sessionTags: { a: '{namespace}/{account}' },
          sessionPolicy: JSON.stringify({ Resource: '{namespace}', Variable: variable }),
        },
      ],
      unknownFacts,
    );
    const namespace = 'n'.repeat(63);
    const china = registryOfHost('210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn');
    assert.deepEqual(allowed(resolve(namespace, china)).role, {
      roleArn: `arn:aws-cn:iam::210987654321:role/${namespace}-cn-north-1`,
      externalId: undefined,
      sessionName: `pull-${'n'.repeat(59)}`,
      sessionTags: { a: `${namespace}/210987654321` },
      sessionPolicy: JSON.stringify({ Resource: namespace, Variable: variable }),
    });
  });

  it('gets a session name of the two characters that AWS STS requires, also in a namespace with one', () => {
    const rule = { roleArn: 'arn:aws:iam::123456789012:role/x', sessionName: '{namespace}' };
    const resolve = createIdentityResolver([rule], unknownFacts);
    const registry = registryOfHost('210987654321.dkr.ecr.eu-west-1.amazonaws.com');
    const names = ['a', 'ab'].map((namespace) => allowed(resolve(namespace, registry)).role?.sessionName);
    assert.deepEqual(names, ['a-', 'ab']);
  });
});

/** Everything about an identity that AWS can observe. */
function observe({ role, profile, webIdentity }: Identity): string {
  return JSON.stringify([role, profile, webIdentity]);
}

const text = (...values: string[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
const arbitraryRule: fc.Arbitrary<IdentityRule> = fc.record(
  {
    namespaces: fc.record({ names: fc.subarray(['a', 'b', '*'], { minLength: 1 }) }),
    accounts: fc.subarray(['123456789012', '2*', '*'], { minLength: 1 }),
    regions: fc.subarray(['eu-*', 'us-east-1', '*'], { minLength: 1 }),
    roleArn: fc.constantFrom(
      ...[
        `${account}:role/x`,
        `${account}:role/{namespace}`,
        `${account}:role/{account}`,
        `${account}:role/a`,
      ],
    ),
    externalId: text('one', 'two'),
    sessionName: text('x', '{region}', '{namespace}'),
    sessionTags: fc.option(fc.constantFrom({ t: '{namespace}' }, { t: 'a' }, {}), { nil: undefined }),
    sessionPolicy: text('"{namespace}"', '"a"', '"{partition}"'),
    credentials: fc.option(fc.constantFrom({ profile: 'p' }, { profile: 'q' }), { nil: undefined }),
  },
  { requiredKeys: ['roleArn'] },
);
const webRule: fc.Arbitrary<IdentityRule> = fc.record({
  namespaces: fc.record({ names: fc.subarray(['a', 'b', '*'], { minLength: 1 }) }),
  webIdentity: fc.record({
    serviceAccount: fc.constantFrom('x', 'y'),
    audience: fc.constantFrom('one', 'two'),
  }),
  roleArn: fc.constantFrom(`${account}:role/x`, `${account}:role/{namespace}`),
});

/** Fails if AWS can tell two identities apart, but their fingerprints, or their keys in one process, cannot. */
function assertDistinct(one: Identity, other: Identity, isSameProcess: boolean): void {
  const differs = observe(one) !== observe(other);
  assert.ok(!differs || one.fingerprint !== other.fingerprint, `${one.key} and ${other.key}`);
  if (isSameProcess) {
    assert.ok(!differs || one.key !== other.key, `${one.key} stands for two identities`);
    assert.equal(one.key === other.key, one.fingerprint === other.fingerprint);
  }
}

describe('keys and fingerprints', () => {
  const registries = ['eu-west-1', 'us-east-1'].flatMap((region) =>
    ['123456789012', '210987654321'].map((one) => registry(region, one)),
  );

  it('differ if AWS can tell two identities apart, in one process and between processes', () => {
    const annotation = fc.constantFrom(undefined, `${account}:role/x`, `${account}:role/a`);
    fc.assert(
      fc.property(
        fc.array(fc.oneof(arbitraryRule, webRule), { minLength: 1, maxLength: 5 }),
        fc.array(fc.oneof(arbitraryRule, webRule), { maxLength: 3 }),
        fc.tuple(annotation, annotation),
        (rules, others, annotations) => {
          const facts: IdentityFacts = {
            namespaceLabels: () => ({}),
            serviceAccount: (namespace) => {
              const roleArn = annotations[namespace === 'a' ? 0 : 1];
              return {
                state: 'exists',
                role: roleArn === undefined ? undefined : { annotation: 'x', roleArn },
              };
            },
          };
          // the second process has other rules before the same ones, so that their numbers differ
          const found = [rules, [...others, ...rules]].flatMap((some, process) => {
            const resolve = createIdentityResolver(some, facts);
            return ['a', 'b', 'c'].flatMap((namespace) =>
              registries.map((one) => ({ process, identity: allowed(resolve(namespace, one)) })),
            );
          });
          for (const one of found) {
            assert.ok(!/one|two|"/.test(one.identity.key.replace(/#.*/, '')));
            for (const other of found) {
              assertDistinct(one.identity, other.identity, one.process === other.process);
            }
          }
        },
      ),
    );
  });

  it('differ if two rules differ in a single setting', () => {
    const base: IdentityRule = {
      roleArn: `${account}:role/x`,
      externalId: 'one',
      sessionName: 'x',
      sessionTags: { t: 'a' },
      sessionPolicy: '"a"',
      credentials: { profile: 'p' },
    };
    const web: IdentityRule = {
      roleArn: `${account}:role/x`,
      webIdentity: { serviceAccount: 'x', audience: 'one' },
    };
    const pairs: [IdentityRule, Partial<IdentityRule>][] = [
      [base, { roleArn: `${account}:role/y` }],
      [base, { externalId: 'two' }],
      [base, { externalId: undefined }],
      [base, { sessionName: 'y' }],
      [base, { sessionName: undefined }],
      [base, { sessionTags: { t: 'b' } }],
      [base, { sessionTags: { u: 'a' } }],
      [base, { sessionTags: {} }],
      [base, { sessionPolicy: '"b"' }],
      [base, { sessionPolicy: undefined }],
      [base, { credentials: { profile: 'q' } }],
      [base, { credentials: undefined }],
      [web, { webIdentity: { serviceAccount: 'y', audience: 'one' } }],
      [web, { webIdentity: { serviceAccount: 'x', audience: 'two' } }],
      [web, { webIdentity: undefined }],
    ];
    const facts = { ...unknownFacts, serviceAccount: () => ({ state: 'exists', role: undefined }) as const };
    for (const [rule, change] of pairs) {
      const rules = [
        { ...rule, regions: ['eu-*'] },
        { ...rule, ...change },
      ];
      const resolve = createIdentityResolver(rules, facts);
      const [one, other] = ['eu-west-1', 'us-east-1'].map((region) =>
        allowed(resolve('a', registry(region))),
      );
      assert.ok(one && other);
      assert.notEqual(observe(one), observe(other));
      assertDistinct(one, other, true);
    }
  });

  it('of 20,000 namespaces are all different', () => {
    const resolve = createIdentityResolver([{ roleArn: `${account}:role/{namespace}` }], unknownFacts);
    const identities = Array.from({ length: 20_000 }, (_, index) =>
      allowed(resolve(`team-${index}`, registry())),
    );
    assert.equal(new Set(identities.map(({ fingerprint }) => fingerprint)).size, 20_000);
    assert.equal(new Set(identities.map(({ key }) => key)).size, 20_000);
    assert.ok(identities.every(({ fingerprint }) => /^[0-9a-f]{16}$/.test(fingerprint ?? '')));
  });

  it('do not change from release to release, because tokens are stored with them', () => {
    const rules: IdentityRule[] = [
      { accounts: ['123456789012'], roleArn: `${account}:role/x` },
      { roleArn: `${account}:role/{namespace}`, sessionTags: { b: '1', a: '{region}' } },
    ];
    const resolve = createIdentityResolver(rules, unknownFacts);
    const of = (one: ReturnType<typeof registry>) => allowed(resolve('team', one)).fingerprint;
    assert.deepEqual(
      [of(registry()), of(registry('eu-west-1', '210987654321'))],
      ['de17964f8d62ee33', 'c3372ff8da935944'],
    );
  });

  it('tell whether users can cause any number of identities', () => {
    const of = (roleArn: string) => {
      const { isNamespaced, isUnbounded } = allowed(
        createIdentityResolver([{ roleArn }], unknownFacts)('team', registry()),
      );
      return [isNamespaced, isUnbounded];
    };
    assert.deepEqual(of(`${account}:role/x`), [false, false]);
    assert.deepEqual(of(`arn:{partition}:iam::123456789012:role/{region}`), [false, false]);
    assert.deepEqual(of(`arn:aws:iam::{account}:role/x`), [false, true]);
    assert.deepEqual(of(`${account}:role/{namespace}`), [true, true]);
  });
});

describe('the own credentials of the process', () => {
  const web: IdentityRule = { webIdentity: { serviceAccount: 'ecr-pull', audience: 'sts.amazonaws.com' } };
  const cases: [string, boolean, IdentityRule[]][] = [
    ['without rules', true, []],
    ['by a rule with a role', true, [{ roleArn: `${account}:role/a` }, { access: 'deny' }]],
    ['by a rule that allows all', true, [{ access: 'allow' }]],
    ['where no rule matches', true, [{ ...web, namespaces: { names: ['team-*'] } }]],
    [
      'where the rule does not match the public registry',
      true,
      [{ ...web, roleArn: `arn:aws:iam::{account}:role/a` }],
    ],
    ['never, if a rule with a web identity matches all', false, [web]],
    ['never, if a rule with a profile matches all', false, [{ credentials: { profile: 'a' } }]],
    [
      'never, if all others are denied',
      false,
      [
        { ...web, accounts: ['1*'] },
        { namespaces: {}, access: 'deny' },
      ],
    ],
  ];
  for (const [name, expected, rules] of cases) {
    it(`are used ${name}`, () => {
      assert.equal(usesOwnCredentials(rules), expected);
    });
  }
});

describe('rules cause any number of identities', () => {
  const role = (text: string): IdentityRule => ({ roleArn: `${account}:role/${text}` });
  const cases: readonly (readonly [name: string, expected: boolean, rule: IdentityRule])[] = [
    ['with a role for each namespace', true, role('{namespace}')],
    ['with a role for each account', true, role('{account}')],
    [
      'with session tags that name the namespace',
      true,
      { ...role('x'), sessionTags: { team: '{namespace}' } },
    ],
    ['with a web identity', true, { ...role('x'), webIdentity: { serviceAccount: 'pull', audience: 'sts' } }],
    ['not with one role', false, role('x')],
    ['not with a role for each region', false, role('{region}')],
  ];
  for (const [name, expected, rule] of cases) {
    it(name, () => {
      const facts = factsOf({}, { 'shop/pull': { state: 'exists', role: undefined } });
      const identity = allowed(createIdentityResolver([rule], facts)('shop', registry()));
      assert.deepEqual([causeUnboundedIdentities([rule]), identity.isUnbounded], [expected, expected]);
      assert.equal(causeUnboundedIdentities([{ ...rule, access: 'deny' }]), false);
    });
  }

  it('not without rules', () => {
    assert.equal(causeUnboundedIdentities([]), false);
  });
});
