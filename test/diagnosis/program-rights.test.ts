// Tests the rights that doctor expects of the program against the ClusterRole that the chart installs.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readConfig } from '../../src/config/load-config.ts';
import {
  judgeExcessRights,
  judgeRequiredRights,
  listExcessRights,
  listRequiredRights,
} from '../../src/diagnosis/program-rights.ts';
import { type AccessRight, formatRight } from '../../src/kube/access-reviews.ts';
import { describeWithHelm } from '../chart/chart-suite.ts';
import { installModes } from '../chart/install-modes.ts';
import { getValueAt, parseSettings } from '../chart/rendered-objects.ts';
import { brief } from './diagnosis-fixtures.ts';

interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** Whether rules grant a right, as RBAC decides it. */
function grants(
  rules: readonly PolicyRule[],
  { verb, group, resource, subresource, name }: AccessRight,
): boolean {
  const full = subresource === undefined ? resource : `${resource}/${subresource}`;
  return rules.some(
    ({ apiGroups, resources, resourceNames, verbs }) =>
      apiGroups.includes(group) &&
      resources.includes(full) &&
      verbs.includes(verb) &&
      (resourceNames === undefined || (name !== undefined && resourceNames.includes(name))),
  );
}

describeWithHelm('the rights of the program', (helm) => {
  const modes = [
    ...installModes,
    {
      name: 'rules with web identity and labels',
      values: {
        config: {
          registries: [
            { webIdentity: { serviceAccount: 'puller' }, namespaces: { selector: 'team=shop' } },
            { access: 'allow' },
          ],
        },
      },
    },
    { name: 'eviction', values: { config: { catchUp: { evict: true } } } },
    { name: 'no lists of pods', values: { rbac: { listPods: false } } },
    { name: 'no events', values: { config: { renewal: { events: false } } } },
  ];
  for (const { name, values } of modes) {
    it(`are those of the chart in the mode "${name}"`, async () => {
      const objects = await helm().template(values, { namespace: 'pulls', kubeVersion: '1.36.0' });
      if (!['Deployment', 'ClusterRole'].every((wanted) => objects.some(({ kind }) => kind === wanted))) {
        return; // a CronJob alone runs `sync`, which needs less; rbac.create may be false
      }
      const configMap = objects.find(
        ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'ecr-pull-secrets',
      );
      assert.ok(configMap);
      const config = parseSettings(configMap);
      const rules: PolicyRule[] = objects
        .filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role')
        .filter(
          ({ metadata }) =>
            config.certificates.source === 'managed' || !/-(certificates|tls)$/.test(metadata.name),
        )
        .flatMap((role) => getValueAt(role, 'rules'));
      const missing = listRequiredRights(config, 'pulls').filter((right) => !grants(rules, right));
      assert.deepEqual(missing.map(formatRight), []);
      const excess = listExcessRights(config).filter((right) => grants(rules, right));
      assert.deepEqual(excess.map(formatRight), []);
    });
  }
});

it('a missing right fails if pods cannot pull without it, and warns otherwise', () => {
  const rights = listRequiredRights(readConfig('', 'test'), 'pulls');
  const judge = (verb: string, resource: string) =>
    brief(
      judgeRequiredRights(
        rights.filter((right) => right.verb === verb && right.resource === resource),
        formatRight,
        'the program',
      ),
    );
  assert.equal(
    judge('patch', 'secrets'),
    'failed: the program may not patch secrets named "ecr-pull-secrets"',
  );
  assert.equal(judge('create', 'events'), 'warning: the program may not create events');
  assert.match(brief(judgeRequiredRights([], formatRight, 'the program')), /^ok/);
});

it('a dangerous right warns, and says what it allows', () => {
  const [getSecrets] = listExcessRights(readConfig('', 'test'));
  assert.ok(getSecrets);
  const judged = judgeExcessRights([getSecrets], formatRight, 'the program');
  assert.equal(brief(judged), 'warning: the program may read every Secret of the cluster');
  assert.deepEqual(judged.details, ['get secrets: the program can read every Secret of the cluster']);
});
