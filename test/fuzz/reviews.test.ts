// Random AdmissionReviews, most of them nearly valid, through the real HTTPS port.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import jsonPatch from 'fast-json-patch';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { installServiceAccount } from '../support/installation.ts';
import { startProgram } from '../support/program.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';
import { fuzz } from './fuzz-runner.ts';
import { FuzzTarget, host } from './fuzz-target.ts';
import { mutate, placeholder } from './malformed-json.ts';

const reference = { name: 'ecr-pull-secrets' };

const images = fc.constantFrom(
  `${host}/app:1`,
  `${host}/app@sha256:${'0'.repeat(64)}`,
  '123456789012.dkr.ecr.us-east-1.amazonaws.com/app',
  '123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example/app',
  'docker.io/library/nginx:1',
  `user:${placeholder}@${host}/app:1`,
  `${host}/${placeholder}`,
);

const containers = fc.array(fc.record({ name: fc.constantFrom('a', placeholder), image: images }), {
  maxLength: 3,
});

const references = fc.option(
  fc.array(fc.constantFrom({ name: 'other' }, reference, {}, { name: placeholder }), { maxLength: 3 }),
  { nil: undefined },
);

const pods = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Pod'),
  metadata: fc.record({
    name: fc.constantFrom('app', placeholder, `x\n${placeholder}`),
    annotations: fc.constantFrom({}, { 'ecr-pull-secrets.io/inject': 'false' }, { a: placeholder }),
    managedFields: fc.constantFrom([], [{ manager: 'kubectl', fieldsV1: { 'f:spec': { k: ']' } } }]),
  }),
  spec: fc.record({
    containers,
    initContainers: containers,
    ephemeralContainers: containers,
    volumes: fc.array(fc.record({ image: fc.record({ reference: images }) }), { maxLength: 2 }),
    imagePullSecrets: references,
    env: fc.constant([{ name: 'PASSWORD', value: placeholder }]),
  }),
});

const reviews = mutate(
  fc
    .record({
      object: pods,
      namespace: fc.constantFrom('team-a', 'team-b', 'no-such-namespace', '../x', placeholder),
      operation: fc.constantFrom('CREATE', 'CREATE', 'CREATE', 'UPDATE', 'DELETE'),
      subResource: fc.constantFrom(undefined, undefined, 'ephemeralcontainers', 'status'),
      dryRun: fc.boolean(),
    })
    .map(({ object, ...changes }) => removeUndefined(buildPodReview(object, changes))),
);

function removeUndefined(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

describe('fuzzed reviews', () => {
  let cluster: ApiStandIn;
  let ecr: EcrDouble;
  let target: FuzzTarget;
  before(async () => {
    cluster = await startApiStandIn();
    ecr = await startEcrDouble();
    for (const name of ['team-a', 'team-b', 'team-good']) {
      cluster.seed(`/api/v1/namespaces/${name}`, { metadata: { name } });
    }
    const kubeconfigPath = await installServiceAccount(cluster);
    const program = await startProgram({ kubeconfigPath, environment: ecr.env() });
    target = new FuzzTarget(program, () => ecr.secrets());
  });
  after(async () => {
    target.close();
    await target.program.stop();
    await ecr.stop();
    await cluster.stop();
  });

  fuzz({
    part: 'reviews',
    values: reviews,
    check: async (value) => await checkReview(target, target.plant(value)),
    afterwards: async () => await target.assertCleanAfterwards(),
  });
});

async function checkReview(target: FuzzTarget, review: string): Promise<void> {
  const { status, body } = await target.post(review);
  assert.ok(status === 200 || (status >= 400 && status < 500), `status ${status}: ${body}`);
  const result = JSON.parse(body);
  if (status !== 200) {
    assert.equal(typeof result.error.code, 'string');
    return;
  }
  const parsed = parseOrUndefined(review);
  if (parsed === undefined) {
    // Errors inside of managed fields are not read (docs/explanation/decisions/0007); the rest is a valid review.
    assert.ok(review.includes('"managedFields":[') && result.response.allowed === true);
    return;
  }
  const { request } = parsed;
  const { uid, allowed, patch, ...others } = result.response;
  assert.deepEqual({ uid, allowed }, { uid: request.uid, allowed: true });
  // The response must contain the uid of the request.
  target.assertShowsNothing(
    'the response',
    JSON.stringify(others) + (patch === undefined ? '' : atob(patch)),
  );
  if (patch !== undefined) {
    const patched = assertMinimal(request.object, JSON.parse(atob(patch)));
    const second = JSON.stringify({ ...parsed, request: { ...request, object: patched } });
    const { response } = JSON.parse((await target.post(second)).body);
    assert.equal(response.patch, undefined, 'a second pass changes nothing');
  }
}

/** The parsed review; undefined if the text is not JSON. */
function parseOrUndefined(text: string): { readonly request: { uid: unknown; object: unknown } } | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Fails unless the patch adds one reference and changes nothing else. Returns the patched pod. */
function assertMinimal(pod: unknown, patch: jsonPatch.Operation[]): unknown {
  assert.equal(patch.length, 1);
  assert.equal(jsonPatch.validate(patch, pod), undefined);
  const patched = jsonPatch.applyPatch(structuredClone(pod), patch).newDocument as {
    spec: Record<string, unknown>;
  };
  const { imagePullSecrets: before, ...othersBefore } = (pod as typeof patched).spec;
  const { imagePullSecrets: after, ...others } = patched.spec;
  const oldReferences = Array.isArray(before) ? before : [];
  assert.deepEqual(after, [...oldReferences, reference]);
  assert.ok(isDeepStrictEqual(others, othersBefore), 'the rest of the spec is unchanged');
  assert.ok(isDeepStrictEqual({ ...patched, spec: 0 }, { ...(pod as object), spec: 0 }));
  return patched;
}
