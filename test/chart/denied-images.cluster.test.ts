// Compares the policy's CEL expressions for `access: deny` with the rules of `config.registries`, for every form of rule.
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import fc from 'fast-check';
import { matchesAny } from '../../src/util/glob.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import { describeChartOnCluster, itWithPolicy, offersPolicy } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { getApiVersions } from './install-modes.ts';
import { requirements, spellings } from './namespace-selectors.ts';
import { findOne, getValueAt } from './rendered-objects.ts';

const admissionregistration = '/apis/admissionregistration.k8s.io/v1';
const newest = {
  kubeVersion: '1.37.0',
  apiVersions: getApiVersions('1.37.0'),
  flags: ['--skip-schema-validation'],
};

/** The parts of a rule of `config.registries` that select. */
interface Rule {
  /** Selects only registries that have an account, if it contains `{account}`. */
  readonly roleArn?: string;
  readonly namespaces?: { readonly names?: readonly string[]; readonly selector?: string };
  readonly accounts?: readonly string[];
  readonly regions?: readonly string[];
  readonly access?: 'allow' | 'deny';
}

const namespaces: readonly { readonly name: string; readonly labels: Record<string, string> }[] = [
  { name: 'shop', labels: {} },
  { name: 'shop-1', labels: { tier: 'prod' } },
  { name: 'sandbox-1', labels: { tier: 'lab', team: '' } },
  { name: 'sandbox-2', labels: { team: 'shop' } },
];
/** Every set of rules allows everything in this namespace, so that the tests notice when the API server applies it. */
const probe = 'probe';

/** A pod with one image. */
interface TestPod {
  readonly namespace: string;
  /** Undefined: the public registry. */
  readonly account: string | undefined;
  readonly region: string;
  readonly image: string;
}

const hosts = {
  'registry.example.com': { account: '123456789012', region: 'us-east-1' },
  'mirror.example:5000': { account: '120000000000', region: 'eu-west-1' },
};

const images = [
  ...['123456789012', '120000000000'].flatMap((account) =>
    ['eu-west-1', 'us-east-1'].map((region) => ({
      account,
      region,
      image: `${account}.dkr.ecr.${region}.amazonaws.com/app:1`,
    })),
  ),
  ...Object.entries(hosts).map(([host, registry]) => ({ ...registry, image: `${host}/app:1` })),
  { account: undefined, region: 'us-east-1', image: 'public.ecr.aws/nginx/nginx:1' },
];

const pods: readonly TestPod[] = namespaces.flatMap(({ name: namespace }) =>
  images.map((image) => ({ namespace, ...image })),
);

const deny = { access: 'deny' } as const;
const roleOfAccount = 'arn:aws:iam::{account}:role/pull';
const fixed: readonly (readonly [string, readonly Rule[]])[] = [
  ['everything', [deny]],
  ['nothing, because an earlier rule allows everything', [{ access: 'allow' }, deny]],
  ['namespaces by name', [{ namespaces: { names: ['shop'] }, ...deny }]],
  ['namespaces by pattern', [{ namespaces: { names: ['sandbox-*', '*-1'] }, ...deny }]],
  ['namespaces by label', [{ namespaces: { selector: 'tier' }, ...deny }]],
  ['names and labels', [{ namespaces: { names: ['s*'], selector: 'tier in (lab), team' }, ...deny }]],
  ['no namespace', [{ namespaces: { names: [] }, ...deny }]],
  ['accounts', [{ accounts: ['123456789012'], ...deny }]],
  ['accounts by pattern', [{ accounts: ['12*0', '9*'], ...deny }]],
  ['regions', [{ regions: ['us-east-1'], ...deny }]],
  ['regions by pattern', [{ regions: ['eu-*'], ...deny }]],
  ['accounts and regions', [{ accounts: ['120000000000'], regions: ['*-1'], ...deny }]],
  ['no account', [{ accounts: [], ...deny }]],
  ['no region', [{ regions: [], ...deny }]],
  [
    'what earlier rules do not allow',
    [
      { namespaces: { names: ['shop'] } },
      { accounts: ['120000000000'], ...deny },
      { regions: ['us-*'] },
      { namespaces: { names: ['shop*'] }, ...deny },
      { namespaces: { selector: '!team' } },
      deny,
    ],
  ],
  [
    'the public registry, because the role of an earlier rule needs an account',
    [{ roleArn: roleOfAccount }, deny],
  ],
  ['what is denied twice', [{ regions: ['us-*'], ...deny }, { accounts: ['12*'], ...deny }, {}]],
  [
    '300 rules',
    Array.from({ length: 300 }, (_, index) => ({
      namespaces: { names: [`shop-${index}`, `sandbox-${index}`] },
      access: index % 2 === 0 ? 'allow' : 'deny',
    })),
  ],
];

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const anyRule: fc.Arbitrary<Rule> = fc
  .record({
    names: optional(fc.subarray(['shop', 'shop-1', 's*-1', 'sandbox-*', '*'])),
    selector: optional(
      requirements({ keys: ['tier', 'team'], values: ['prod', 'lab', 'shop', ''] })
        .filter((all) => all.length > 0)
        .chain(spellings),
    ),
    accounts: optional(fc.subarray(['123456789012', '12*', '*0', '*'])),
    regions: optional(fc.subarray(['eu-west-1', 'us-*', '*'])),
    access: fc.constantFrom('allow', 'deny'),
    needsAccount: fc.boolean(),
  })
  .map(
    ({ names, selector, accounts, regions, access, needsAccount }): Rule => ({
      namespaces: { ...(names && { names }), ...(selector && { selector }) },
      ...(accounts && { accounts }),
      ...(regions && { regions }),
      access,
      ...(needsAccount && access === 'allow' && { roleArn: roleOfAccount }),
    }),
  );

describeChartOnCluster('the policy skips what a rule denies', (cluster, helm) => {
  const seed = Date.now() % 1_000_000;
  const generated = fc.sample(fc.array(anyRule, { minLength: 1, maxLength: 6 }), { numRuns: 30, seed });
  const cases = [...fixed.map(([, rules]) => rules), ...generated].map((rules, index) => ({
    secret: `case-${index}`,
    rules,
  }));
  /** The namespaces that the API server selects, by selector. */
  const selected = new Map<string, ReadonlySet<string>>();
  /** The references that the pods get. */
  const found = new Map<TestPod, readonly unknown[]>();

  const valuesOf = ({ secret, rules }: (typeof cases)[number]): Values => ({
    injection: 'both',
    fullnameOverride: secret,
    config: {
      secretName: secret,
      hosts,
      publicRegistry: true,
      registries: [{ namespaces: { names: [probe] } }, ...rules].map((rule: Rule) =>
        rule.access === 'deny' ? rule : { roleArn: 'arn:aws:iam::123456789012:role/pull', ...rule },
      ),
    },
  });
  const post = async (path: string, object: unknown) => {
    const { status, body } = await cluster().request('POST', path, object);
    assert.equal(status, 201, JSON.stringify(body));
  };
  /** The namespaces that the API server selects by labels. */
  const listNamespaces = async (selector: string) => {
    const path = `/api/v1/namespaces?labelSelector=${encodeURIComponent(selector)}`;
    const { status, body } = await cluster().request('GET', path);
    assert.equal(status, 200, `${selector}: ${JSON.stringify(body)}`);
    return new Set<string>(
      getValueAt(body, 'items').map((item: unknown) => getValueAt(item, 'metadata.name')),
    );
  };
  const references = async (namespace: string, ...names: string[]) =>
    (await createPod(cluster(), namespace, podWith(names), { dryRun: true })).pullSecrets;

  const installPolicy = async (one: (typeof cases)[number]) => {
    const objects = await helm().template(valuesOf(one), newest);
    const policy = findOne(objects, 'MutatingAdmissionPolicy');
    // An error in an expression must not look like a denied image.
    const spec = { ...getValueAt(policy, 'spec'), failurePolicy: 'Fail' };
    await post(`${admissionregistration}/mutatingadmissionpolicies`, { ...policy, spec });
    const binding = findOne(objects, 'MutatingAdmissionPolicyBinding');
    await post(`${admissionregistration}/mutatingadmissionpolicybindings`, binding);
  };
  const selectors = () =>
    cases.flatMap(({ rules }) => rules.flatMap((rule) => rule.namespaces?.selector ?? []));

  before(async () => {
    if (!offersPolicy(cluster())) {
      return;
    }
    for (const { name, labels } of [...namespaces, { name: probe, labels: {} }]) {
      await post('/api/v1/namespaces', { metadata: { name, labels } });
    }
    for (const one of cases) {
      await installPolicy(one);
    }
    for (const selector of selectors()) {
      selected.set(selector, await listNamespaces(selector));
    }
    await eventually('the API server applies all policies', async () => {
      return (await references(probe, images[0]?.image ?? '')).length === cases.length;
    });
    for (const pod of pods) {
      found.set(pod, await references(pod.namespace, pod.image));
    }
  });

  const isDenied = (rules: readonly Rule[], { namespace, account, region }: TestPod): boolean => {
    const matches = (patterns: readonly string[] | undefined, text: string | undefined) =>
      patterns === undefined || (text !== undefined && matchesAny(patterns, text));
    const first = rules.find(
      ({ namespaces: { names, selector } = {}, accounts, regions, roleArn = '' }) =>
        (account !== undefined || !roleArn.includes('{account}')) &&
        matches(names, namespace) &&
        (selector === undefined || selected.get(selector)?.has(namespace)) &&
        matches(accounts, account) &&
        matches(regions, region),
    );
    return first?.access === 'deny';
  };

  /** Compares the policies of some cases with their rules, for each pod. */
  const assertAgree = (some: typeof cases) => {
    for (const pod of pods) {
      for (const { secret, rules } of some) {
        const expected = !isDenied(rules, pod);
        const message = `${JSON.stringify(pod)} ${JSON.stringify(rules)}`;
        assert.equal(found.get(pod)?.includes(secret), expected, message);
      }
    }
  };

  for (const [index, [name]] of fixed.entries()) {
    itWithPolicy(cluster, name, async () => assertAgree(cases.slice(index, index + 1)));
  }

  itWithPolicy(cluster, `arbitrary rules (seed ${seed})`, async () => assertAgree(cases.slice(fixed.length)));

  itWithPolicy(cluster, 'but not a pod with another image that no rule denies', async () => {
    const index = fixed.findIndex(([name]) => name === 'regions');
    const [allowed, denied] = images.map(({ image }) => image);
    assert.ok(allowed && denied);
    assert.equal((await references('shop', denied)).includes(`case-${index}`), false);
    assert.equal((await references('shop', denied, allowed)).includes(`case-${index}`), true);
  });

  it('renders no such expressions without such a rule', async () => {
    const policy = async (registries: readonly object[]) => {
      const objects = await helm().template({ config: { registries } }, newest);
      return getValueAt(findOne(objects, 'MutatingAdmissionPolicy'), 'spec');
    };
    const roleArn = 'arn:aws:iam::123456789012:role/pull';
    assert.deepEqual(await policy([{ accounts: ['1*'], roleArn }]), await policy([]));
  });

  it('refuses a selector that is not valid, with the path of the rule', async () => {
    const registries = [{ namespaces: { selector: 'a=(b)' }, ...deny }];
    await assert.rejects(
      helm().template({ config: { registries } }, newest),
      /config\.registries\[0\]\.namespaces\.selector: "a=\(b\)" is not a valid requirement/,
    );
  });
});
