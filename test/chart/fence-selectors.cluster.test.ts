// Compares the fence's CEL expressions with the API server's own label selection, for every form of selector.
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import fc from 'fast-check';
import { matchesAny } from '../../src/util/glob.ts';
import { createRequest } from '../cluster/kube-request.ts';
import { eventually } from '../support/eventually.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { getApiVersions, registry } from './install-modes.ts';
import { type Requirement, requirements, selectorText, spellings } from './namespace-selectors.ts';
import { findOne, getValueAt, type KubeObject } from './rendered-objects.ts';

const inject = 'ecr-pull-secrets.io/inject';
const tier = 'example.com/tier';
const own = 'fence-selectors';
/** Render options. The fence is the same on every version of Kubernetes. */
const newest = { kubeVersion: '1.37.0', apiVersions: getApiVersions('1.37.0') };
const admissionregistration = '/apis/admissionregistration.k8s.io/v1';

/** Labels of the namespaces `shop-0`, `lab-1`, `shop-2` and so on. */
const labelSets: readonly Record<string, string>[] = [
  {},
  { [inject]: 'false' },
  { [inject]: 'true' },
  { [inject]: '' },
  { team: 'shop' },
  { team: 'shop', [inject]: 'false' },
  { team: 'shop', [inject]: 'true' },
  { team: '' },
  { team: 'true' },
  { team: 'false', [tier]: 'b' },
  { [tier]: 'a' },
  { [tier]: 'b', [inject]: 'true' },
  { [tier]: 'a', team: 'shop' },
  { [tier]: 'in', team: 'notin' },
];
const namespaces = labelSets.map((labels, index) => ({
  name: `${index % 2 === 0 ? 'shop' : 'lab'}-${index}`,
  labels,
}));

/** The values that select namespaces. */
interface Selection {
  readonly injection?: 'webhook' | 'policy' | 'both' | 'none';
  readonly namespaces?: Values;
  readonly exclude?: readonly string[];
  /** `config.exclude.admissionNamespaces`. */
  readonly excludeFromAdmission?: readonly string[];
  /** `config.provisioning.namespaces`; undefined: no provisioning. */
  readonly provisioning?: { readonly names?: readonly string[]; readonly selector?: string } | undefined;
}

const expression = (key: string, operator: Requirement['operator'], values?: readonly string[]): Values => ({
  selector: { matchExpressions: [{ key, operator, ...(values && { values }) }] },
});
const provided = (provisioning: Selection['provisioning']): Selection => ({
  injection: 'none',
  provisioning,
});
const fixed: readonly [string, Selection][] = [
  ['no values', {}],
  ['optIn', { namespaces: { select: 'optIn' } }],
  ['optOut by another label', { namespaces: { label: 'team' } }],
  ['optIn by another label', { namespaces: { select: 'optIn', label: 'team' } }],
  ['excluded names', { namespaces: { exclude: ['shop-0', 'lab-3'] }, exclude: ['shop-2'] }],
  ['excluded patterns', { exclude: ['lab-*', '*-4', 's*-6', '*op-1*'] }],
  ['a pattern for everything', { exclude: ['*'] }],
  ['matchLabels', { namespaces: { selector: { matchLabels: { team: 'shop', [tier]: 'a' } } } }],
  ['matchLabels with an empty value', { namespaces: { selector: { matchLabels: { team: '' } } } }],
  ['In', { namespaces: expression('team', 'In', ['shop', '']) }],
  ['NotIn', { namespaces: expression('team', 'NotIn', ['shop', 'true']) }],
  ['Exists', { namespaces: expression(tier, 'Exists') }],
  ['DoesNotExist', { namespaces: expression(tier, 'DoesNotExist') }],
  ['by name', { namespaces: expression('kubernetes.io/metadata.name', 'In', ['shop-0', 'lab-1']) }],
  ['no injection, no provisioning', { injection: 'none' }],
  ['provisioning everywhere', provided({})],
  ['provisioning by name', provided({ names: ['shop-0', 'lab-1'] })],
  ['provisioning by pattern', { ...provided({ names: ['lab-*', '*-2'] }), exclude: ['lab-3'] }],
  ['provisioning by labels', provided({ selector: 'team=shop,ecr-pull-secrets.io/inject!=false' })],
  ['provisioning by lists', provided({ selector: 'team in (shop, true,), example.com/tier notin (b)' })],
  ['provisioning by presence', provided({ selector: '!example.com/tier , team' })],
  ['odd spellings', provided({ selector: ' team == shop ,example.com/tier notin(in)' })],
  ['values that are operators', provided({ selector: 'team=notin,example.com/tier in (in)' })],
  ['an empty value', provided({ selector: 'team=' })],
  ['provisioning of its own namespace', provided({ names: ['shop-*', own] })],
  ['provisioning of its own namespace by a pattern', provided({ names: ['shop-*', 'fence-*'] })],
  ['provisioning of its own namespace beside the webhook', { provisioning: { names: [own] } }],
  [
    'provisioning of namespaces that are excluded from admission',
    { excludeFromAdmission: ['lab-*', 'shop-0'], provisioning: { names: ['lab-1', 'shop-*'] } },
  ],
  ['names and labels', provided({ names: ['lab-*'], selector: 'team' })],
  [
    'the policy',
    { injection: 'policy', namespaces: { select: 'optIn' }, provisioning: { selector: 'team=shop' } },
  ],
  ['webhook and policy', { injection: 'both', namespaces: { select: 'optIn' }, exclude: ['lab-*'] }],
  ['webhook and provisioning', { namespaces: { select: 'optIn' }, provisioning: { names: ['lab-*'] } }],
];

const someRequirements = requirements({
  keys: [inject, 'team', tier],
  values: ['true', 'false', 'shop', 'a', 'b', ''],
});
const somePatterns = fc.uniqueArray(
  fc.constantFrom('shop-0', 'lab-1', 'lab-*', '*-2', 'shop-1*', '*0*', 's*p-*', 'fence-*', own, '*'),
  { maxLength: 3 },
);
const anySelection: fc.Arbitrary<Selection> = fc
  .record({
    injection: fc.constantFrom('webhook', 'none'),
    namespaces: fc.record({
      select: fc.constantFrom('optOut', 'optIn'),
      label: fc.constantFrom(inject, 'team'),
      exclude: fc.uniqueArray(fc.constantFrom('shop-0', 'lab-1', 'shop-4'), { maxLength: 2 }),
      selector: fc.record({
        matchLabels: fc.dictionary(fc.constantFrom('team', tier), fc.constantFrom('shop', 'a', ''), {
          maxKeys: 1,
        }),
        matchExpressions: someRequirements,
      }),
    }),
    exclude: somePatterns.filter((patterns) => !patterns.includes('*')),
    excludeFromAdmission: somePatterns.filter((patterns) => !patterns.includes('*')),
    provisioning: fc.option(fc.record({ names: somePatterns, selector: someRequirements.chain(spellings) }), {
      nil: undefined,
    }),
  })
  .map(withoutRefusals);

/** Removes values that the chart refuses because they contradict each other or have no effect. */
function withoutRefusals(selection: Selection): Selection {
  const { provisioning, exclude = [], excludeFromAdmission = [], injection, namespaces: chosen } = selection;
  const excluded = [...exclude, ...(getValueAt(chosen, 'exclude') ?? [])];
  const names = (provisioning?.names ?? []).filter(
    (name) => !matchesAny(excluded, name) && !(name.includes('*') && matchesAny(excludeFromAdmission, name)),
  );
  return {
    ...selection,
    ...(injection === 'none' && { namespaces: { exclude: getValueAt(chosen, 'exclude') ?? [] } }),
    ...(provisioning !== undefined && { provisioning: { ...provisioning, names } }),
  };
}

/** What the fence must allow in a namespace, given the namespaces that the label selectors match. */
function expectedOf(
  name: string,
  { exclude = [], excludeFromAdmission = [], namespaces: chosen, provisioning }: Selection,
  injected: ReadonlySet<string>,
  provisioned: ReadonlySet<string>,
): { write: boolean; refer: boolean } {
  if (matchesAny([...exclude, ...(getValueAt(chosen, 'exclude') ?? [])], name)) {
    return { write: false, refer: false };
  }
  const names = provisioning?.names ?? [];
  const onlyByName = matchesAny([...excludeFromAdmission, 'kube-system', own], name);
  const selected = names.includes(name) || (!onlyByName && (names.length === 0 || matchesAny(names, name)));
  const refer = selected && provisioned.has(name);
  return { write: refer || (!onlyByName && injected.has(name)), refer };
}

describeChartOnCluster('the fence selects the same namespaces as label selectors', (cluster, helm) => {
  const seed = Date.now() % 1_000_000;
  const generated = fc.sample(anySelection, { numRuns: 20, seed });
  const cases: readonly { account: string; selection: Selection }[] = [
    ...fixed.map(([, selection]) => selection),
    ...generated,
  ].map((selection, index) => ({ account: `case-${index}`, selection }));
  const rendered = new Map<string, KubeObject[]>();

  const valuesOf = ({ account, selection }: (typeof cases)[number]): Values => ({
    injection: selection.injection ?? 'webhook',
    fullnameOverride: account,
    serviceAccount: { name: account },
    namespaces: selection.namespaces ?? {},
    config: {
      exclude: {
        namespaces: selection.exclude ?? [],
        admissionNamespaces: selection.excludeFromAdmission ?? [],
      },
      ...(selection.provisioning !== undefined && {
        provisioning: { registries: [registry], namespaces: selection.provisioning },
      }),
    },
    certificates: { mode: 'existingSecret', secretName: 'own', caBundle: 'LS0t' },
  });
  const post = async (path: string, object: unknown) => {
    const { status, body } = await cluster().request('POST', path, object);
    assert.equal(status, 201, JSON.stringify(body));
  };

  before(async () => {
    for (const { name, labels } of [...namespaces, { name: own, labels: {} }]) {
      await post('/api/v1/namespaces', { metadata: { name, labels } });
      await post(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
    }
    await post('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: 'far-too-much' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [
        { apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: `system:serviceaccounts:${own}` },
      ],
    });
    for (const one of cases) {
      const objects = await helm().template(valuesOf(one), { namespace: own, ...newest });
      rendered.set(one.account, objects);
      await post(
        `${admissionregistration}/validatingadmissionpolicies`,
        findOne(objects, 'ValidatingAdmissionPolicy'),
      );
      await post(
        `${admissionregistration}/validatingadmissionpolicybindings`,
        findOne(objects, 'ValidatingAdmissionPolicyBinding'),
      );
    }
  });

  const createCaller = async (account: string) => {
    const request = createRequest(await cluster().serviceAccountKubeconfig(own, account));
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'ecr-pull-secrets', labels: { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' } },
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': btoa('{"auths":{}}') },
    };
    const allowed = ({ status, body }: { status: number; body: unknown }) => {
      if (status === 403) {
        assert.match(
          getValueAt(body, 'message'),
          /denied request: the ecr-pull-secrets ServiceAccount may not/,
        );
      } else {
        assert.ok(status === 200 || status === 201, JSON.stringify(body));
      }
      return status !== 403;
    };
    return {
      mayWrite: async (namespace: string) =>
        allowed(
          await request(
            'PATCH',
            `/api/v1/namespaces/${namespace}/secrets/ecr-pull-secrets?dryRun=All&fieldManager=test`,
            secret,
            { contentType: 'application/apply-patch+yaml' },
          ),
        ),
      mayRefer: async (namespace: string) =>
        allowed(
          await request(
            'PATCH',
            `/api/v1/namespaces/${namespace}/serviceaccounts/default?dryRun=All`,
            { imagePullSecrets: [{ name: 'ecr-pull-secrets' }] },
            { contentType: 'application/merge-patch+json' },
          ),
        ),
    };
  };

  /** The namespaces that the API server lists for a selector. */
  const listed = async (selector: string): Promise<Set<string>> => {
    const { status, body } = await cluster().request(
      'GET',
      `/api/v1/namespaces?labelSelector=${encodeURIComponent(selector)}`,
    );
    assert.equal(status, 200, `${selector}: ${JSON.stringify(body)}`);
    return new Set(getValueAt(body, 'items').map((item: unknown) => getValueAt(item, 'metadata.name')));
  };

  const assertAgree = async (one: (typeof cases)[number]) => {
    const { provisioning, injection } = one.selection;
    const caller = await createCaller(one.account);
    await eventually('the policy is in force', async () => !(await caller.mayWrite('kube-system')));
    const objects = rendered.get(one.account) ?? [];
    const webhook = objects.find(({ kind }) => kind === 'MutatingWebhookConfiguration');
    const policy = objects.find(({ kind }) => kind === 'MutatingAdmissionPolicy');
    const selector: unknown =
      getValueAt(webhook, 'webhooks.0.namespaceSelector') ??
      getValueAt(policy, 'spec.matchConstraints.namespaceSelector');
    assert.equal(selector === undefined, injection === 'none');
    if (webhook !== undefined && policy !== undefined) {
      assert.deepEqual(getValueAt(policy, 'spec.matchConstraints.namespaceSelector'), selector);
    }
    const injected =
      selector === undefined
        ? new Set<string>()
        : await listed(
            selectorText(getValueAt(selector, 'matchExpressions'), getValueAt(selector, 'matchLabels')),
          );
    const provisioned =
      provisioning === undefined ? new Set<string>() : await listed(provisioning.selector ?? '');
    for (const { name, labels } of [...namespaces, { name: own, labels: {} }]) {
      const expected = expectedOf(name, one.selection, injected, provisioned);
      const found = { write: await caller.mayWrite(name), refer: await caller.mayRefer(name) };
      assert.deepEqual(
        found,
        expected,
        `${name} ${JSON.stringify(labels)} under ${JSON.stringify(one.selection)}`,
      );
    }
  };

  for (const [index, [name]] of fixed.entries()) {
    it(name, async () => {
      const one = cases[index];
      assert.ok(one);
      await assertAgree(one);
    });
  }

  it('arbitrary selectors', async (t) => {
    t.diagnostic(`seed ${seed}`);
    for (const one of cases.slice(fixed.length)) {
      await assertAgree(one);
    }
  });
});
