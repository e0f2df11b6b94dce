// Rules of `registries` in the configuration: their settings, bounds and contradictions.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stringify } from 'yaml';
import { readConfig } from '../../src/config/load-config.ts';
import { problemsOf } from './config-problems.ts';

const roleArn = 'arn:aws:iam::123456789012:role/x';

const ruleProblems = (...registries: object[]) => problemsOf({ registries });

describe('a registry rule', () => {
  it('may use every setting of a kind of identity', () => {
    const rules = [
      {
        namespaces: { names: ['team-*'], selector: 'tier in (prod,test),!legacy' },
        accounts: ['123456789012'],
        regions: ['eu-*'],
        roleArn: 'arn:{partition}:iam::{account}:role/ecr-{namespace}-{region}',
        externalId: 'our-cluster',
        sessionName: '{namespace}@{account}',
        sessionTags: { 'kubernetes-namespace': '{namespace}', team: 'a b' },
        sessionPolicy: { Version: '2012-10-17', Statement: [{ Resource: 'repository/{namespace}/*' }] },
        credentials: { profile: 'base' },
      },
      {
        namespaces: { names: ['payments'] },
        webIdentity: { serviceAccount: 'ecr-pull' },
        allowedRoles: [roleArn],
      },
      { accounts: ['444455556666'], credentials: { profile: 'china' } },
      { namespaces: { names: ['platform-*'] }, access: 'allow' },
      { access: 'deny' },
    ];
    const { registries } = readConfig(stringify({ registries: rules }), 'test.yaml');
    assert.equal(
      registries[0]?.sessionPolicy,
      '{"Version":"2012-10-17","Statement":[{"Resource":"repository/{namespace}/*"}]}',
    );
    assert.deepEqual(registries[1]?.webIdentity, {
      serviceAccount: 'ecr-pull',
      audience: 'sts.amazonaws.com',
    });
  });

  it('may contain policy variables of IAM in its session policy, and no unknown placeholder anywhere', () => {
    const policy = JSON.stringify({ Resource: ['$', '{aws:PrincipalTag/team}'].join(''), Condition: {} });
    assert.deepEqual(ruleProblems({ roleArn, sessionPolicy: policy }), []);
    const known = 'with no other placeholders than {namespace}, {account}, {region} and {partition}';
    const role = 'arn:aws:iam::123456789012:role/{team}';
    assert.deepEqual(
      ruleProblems({
        roleArn: role,
        sessionName: 'x-{Namespace}',
        sessionTags: { a: '{ns}' },
        sessionPolicy: '"{pod}"',
      }),
      [
        `registries[0].roleArn must be a text ${known}, not "${role}"`,
        `registries[0].sessionName must be a text ${known}, not "x-{Namespace}"`,
        `registries[0].sessionTags.a must be a text ${known}, not "{ns}"`,
        `registries[0].sessionPolicy must be a policy ${known}, not "\\"{pod}\\""`,
      ],
    );
  });

  it('is refused if AWS or Kubernetes would refuse a part of it', () => {
    const tags = (sessionTags: object) => ruleProblems({ roleArn, sessionTags });
    for (const key of ['aws:x', 'a;b', '', 'k'.repeat(129)]) {
      assert.match(
        tags({ [key]: 'a' })[0] ?? '',
        /^registries\[0\]\.sessionTags must be tags whose keys have/,
      );
    }
    assert.equal(tags({ a: 'a;b' }).length, 1);
    assert.deepEqual(tags({ a: 'x'.repeat(256), b: `${'x'.repeat(193)}{namespace}` }), []);
    assert.equal(tags({ a: `${'x'.repeat(194)}{namespace}` }).length, 1);
    const many = Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`k${index}`, '']));
    assert.match(tags(many)[0] ?? '', /sessionTags must be at most 50 tags/);
    assert.match(
      ruleProblems({ roleArn, namespaces: { selector: 'a in (b' } })[0] ?? '',
      /namespaces\.selector must be a label selector such as/,
    );
    assert.deepEqual(ruleProblems({ roleArn, namespaces: { selectors: 'a' } }), [
      'registries[0].namespaces.selectors is not a known key; did you mean selector?',
    ]);
    assert.equal(ruleProblems({ roleArn, sessionPolicy: { a: 'x'.repeat(2048) } }).length, 1);
    assert.equal(ruleProblems({ roleArn, sessionPolicy: ['a'] }).length, 1);
    assert.equal(
      ruleProblems({ webIdentity: {} })[0],
      'registries[0].webIdentity.serviceAccount is required',
    );
    assert.equal(ruleProblems({ credentials: { profile: 'a]b' } }).length, 1);
  });
});

describe('contradictions in registry rules', () => {
  it('are rules without an identity', () => {
    assert.deepEqual(ruleProblems({ accounts: ['123456789012'] }), [
      'registries[0] names no identity; set roleArn, webIdentity, credentials or access',
    ]);
  });

  it('are settings that exclude each other', () => {
    assert.deepEqual(ruleProblems({ access: 'deny', roleArn, credentials: { profile: 'x' } }), [
      'registries[0].roleArn has no effect with access: deny; remove one of them',
      'registries[0].credentials has no effect with access: deny; remove one of them',
    ]);
    assert.deepEqual(
      ruleProblems({
        webIdentity: { serviceAccount: 'x' },
        externalId: 'abc',
        sessionTags: { a: 'b' },
        credentials: { profile: 'x' },
      }),
      [
        'registries[0].externalId cannot be used with webIdentity, because AssumeRoleWithWebIdentity takes no external ID',
        'registries[0].sessionTags cannot be used with webIdentity, because AssumeRoleWithWebIdentity takes no session tags; they come from the token',
        'registries[0].credentials cannot be used with webIdentity, because the token of the ServiceAccount replaces them',
      ],
    );
    assert.deepEqual(
      ruleProblems({
        credentials: { profile: 'x' },
        externalId: 'abc',
        sessionTags: {},
        allowedRoles: ['*'],
      }),
      [
        'registries[0].externalId has no effect without roleArn',
        'registries[0].sessionTags has no effect without roleArn',
        'registries[0].allowedRoles has no effect without webIdentity',
      ],
    );
  });

  it('are allowed roles without the own role of the rule', () => {
    const of = (role: string, allowedRoles: string[]) =>
      ruleProblems({ webIdentity: { serviceAccount: 'x' }, roleArn: role, allowedRoles });
    const template = 'arn:aws:iam::123456789012:role/ecr-{namespace}';
    assert.deepEqual(of(roleArn, ['arn:aws:iam::*:role/y']), [
      'registries[0].roleArn is not in registries[0].allowedRoles; add it, or remove one of them',
    ]);
    assert.equal(of(template, ['arn:aws:iam::123456789012:role/ecr-team']).length, 1);
    assert.deepEqual(of(roleArn, ['arn:aws:iam::*:role/x']), []);
    assert.deepEqual(of(template, ['arn:aws:iam::*:role/ecr-*']), []);
    assert.deepEqual(of(template, [template]), []);
  });

  it('are rules that an earlier one hides; namespaces count', () => {
    const unused = (index: number, by: number) =>
      `registries[${index}] is never used, because registries[${by}] matches the same registries and comes first`;
    const named = (...names: string[]) => ({ namespaces: { names }, access: 'deny' });
    const selected = (selector: string) => ({ namespaces: { selector }, access: 'deny' });
    assert.deepEqual(ruleProblems(named('team-*'), named('team-a', 'team-b')), [unused(1, 0)]);
    assert.deepEqual(ruleProblems({ access: 'deny' }, named('team-a')), [unused(1, 0)]);
    assert.deepEqual(ruleProblems(selected('a=b'), selected('a=b')), [unused(1, 0)]);
    assert.deepEqual(ruleProblems(named('team-*'), named('team-a', 'other')), []);
    assert.deepEqual(ruleProblems(named('team-*'), { access: 'deny' }), []);
    assert.deepEqual(ruleProblems(selected('a=b'), selected('a=c')), []);
    assert.deepEqual(ruleProblems(selected('a=b'), named('team-a')), []);
    assert.deepEqual(ruleProblems(named()), [
      'registries[0].namespaces.names is empty, so the rule matches no namespace; omit it to match all',
    ]);
  });

  it('are not rules for the public registry, which an earlier rule with an account does not match', () => {
    const perAccount = { roleArn: 'arn:aws:iam::{account}:role/ecr' };
    const of = (publicRegistry: boolean, earlier: object, rule: object) =>
      problemsOf({ publicRegistry, registries: [earlier, rule] }).length;
    assert.equal(of(true, perAccount, { access: 'deny' }), 0);
    assert.equal(of(true, perAccount, { access: 'deny', regions: ['us-*'] }), 0);
    assert.equal(of(true, { roleArn, sessionTags: { account: '{account}' } }, { roleArn }), 0);
    assert.equal(of(false, perAccount, { access: 'deny' }), 1);
    assert.equal(of(true, perAccount, { access: 'deny', regions: ['eu-*'] }), 1);
    assert.equal(of(true, perAccount, { access: 'deny', accounts: ['123456789012'] }), 1);
    assert.equal(of(true, perAccount, { ...perAccount, sessionName: 'other' }), 1);
    assert.equal(of(true, { roleArn }, { access: 'deny' }), 1);
  });

  it('are lists of allowed roles without a role', () => {
    assert.deepEqual(ruleProblems({ webIdentity: { serviceAccount: 'x' }, allowedRoles: [] }), [
      'registries[0].allowedRoles is empty, so the rule matches no role; omit it to match all',
    ]);
  });

  it('are rules for what is excluded anyway', () => {
    const exclude = { namespaces: ['lab-*'], accounts: ['1234*'] };
    const of = (rule: object) => problemsOf({ exclude, registries: [{ ...rule, access: 'deny' }] });
    assert.deepEqual(of({ namespaces: { names: ['lab-1', 'lab-*'] } }), [
      'registries[0].namespaces.names contains only what exclude.namespaces excludes, so the rule is never used',
    ]);
    assert.deepEqual(of({ accounts: ['123456789012'] }), [
      'registries[0].accounts contains only what exclude.accounts excludes, so the rule is never used',
    ]);
    assert.deepEqual(of({ namespaces: { names: ['lab-1', 'shop'] }, accounts: ['12*'] }), []);
  });
});
