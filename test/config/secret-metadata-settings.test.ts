// Tests which labels and annotations the settings accept for pull Secrets.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { problemsOf } from './config-problems.ts';

const labels = (entries: object) => problemsOf({ secrets: { labels: entries } });
const annotations = (entries: object) => problemsOf({ secrets: { annotations: entries } });

describe('secrets.labels and secrets.annotations', () => {
  it('accept what the API server accepts', () => {
    assert.deepEqual(labels({ team: 'a.b_c-1', 'example.com/cost-centre': '', x: 'y'.repeat(63) }), []);
    assert.deepEqual(annotations({ 'example.com/owner': 'any text, é' }), []);
  });

  it('reject other keys and values, with the place', () => {
    const notAKey = 'is not a key of labels and annotations, such as team or example.com/team';
    assert.deepEqual(labels({ 'a b': 'x' }), [`secrets.labels["a b"] ${notAKey}`]);
    assert.deepEqual(annotations({ [`${'x'.repeat(64)}`]: 'x' }), [
      `secrets.annotations.${'x'.repeat(64)} ${notAKey}`,
    ]);
    const [problem = ''] = labels({ team: '-x' });
    assert.match(problem, /^secrets\.labels\.team must be a value of at most 63 letters, .*, not "-x"$/);
    assert.deepEqual(labels({ team: 7 }), ['secrets.labels.team must be a string in quotes, not 7']);
    assert.match(
      annotations({ a: 'x'.repeat(1025) })[0] ?? '',
      /^secrets\.annotations\.a must be a string of at/,
    );
    const many = Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`k${index}`, 'x']));
    assert.match(labels(many)[0] ?? '', /^secrets\.labels must be a mapping with at most 32 entries/);
  });

  it('reject keys of the program, and those by which other tools recognize their objects', () => {
    assert.deepEqual(labels({ 'app.kubernetes.io/managed-by': 'Helm' }), [
      'secrets.labels["app.kubernetes.io/managed-by"] is set by the program itself; remove it',
    ]);
    assert.deepEqual(annotations({ 'ecr-pull-secrets.io/managed': 'false' }), [
      'secrets.annotations["ecr-pull-secrets.io/managed"] begins with ecr-pull-secrets.io/, which is for the program itself; remove it',
    ]);
    for (const key of [
      'argocd.argoproj.io/tracking-id',
      'kubectl.kubernetes.io/last-applied-configuration',
      'meta.helm.sh/release-name',
      'kustomize.toolkit.fluxcd.io/name',
    ]) {
      assert.match(annotations({ [key]: 'x' })[0] ?? '', /by which another tool recognizes its own objects/);
    }
  });
});
