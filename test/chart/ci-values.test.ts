// Renders the values files in the chart's folder ci/ for the oldest and the newest version of Kubernetes, and validates the objects.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { customResourceKinds, findSchemaProblem } from '../support/manifest-schemas.ts';
import { describeWithHelm } from './chart-suite.ts';
import { readCiValues } from './ci-values.ts';
import { chartFolder } from './helm.ts';
import { getApiVersions } from './install-modes.ts';
import { findPodSecurityViolations } from './pod-security.ts';
import { findOne, parseSettings, podSpecs } from './rendered-objects.ts';

describeWithHelm('the values files in ci/', (helm) => {
  for (const { name, path, podSecurity, since } of readCiValues()) {
    it(`${name}: valid objects, a valid configuration, and pods that are ${podSecurity}`, async () => {
      const { code, stdout } = await helm().run(['lint', '--strict', chartFolder, '--values', path]);
      assert.equal(code, 0, stdout);
      for (const kubeVersion of [`1.${since}.0`, '1.37.0']) {
        const apiVersions = getApiVersions(kubeVersion);
        const flags = ['--values', path];
        const objects = await helm().template({}, { namespace: 'pulls', kubeVersion, apiVersions, flags });
        const known = objects.filter(({ kind }) => !customResourceKinds.includes(kind));
        const problems = await Promise.all(known.map(findSchemaProblem));
        assert.deepEqual(
          problems.filter((problem) => problem !== undefined),
          [],
        );
        const violations = podSpecs(objects).flatMap(findPodSecurityViolations);
        if (podSecurity === 'restricted') {
          assert.deepEqual(violations, []);
        } else {
          assert.notDeepEqual(violations, [], `${path} may say that its pods are restricted`);
        }
        parseSettings(findOne(objects, 'ConfigMap', 'ecr-pull-secrets'));
      }
    });
  }
});
