// Tests which pods that wait for a token get an Event, when, and how many.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WaitingPodReporter } from '../../src/catch-up/waiting-pod-reports.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { eventually } from '../support/eventually.ts';
import {
  host,
  minuteMs,
  type PodOptions,
  pendingPod,
  secondMs,
  setUpCatchUp,
  start,
} from './catch-up-fixture.ts';

const other = host.replace('eu-central-1', 'us-east-1');
const refused = { permanent: true, message: 'No ECR token for eu-central-1: denied. Allow it.' };
const throttled = { permanent: false, message: 'No ECR token for us-east-1: throttled. Wait.' };
const waitingPod = (namespace: string, name: string, options: PodOptions = {}) =>
  pendingPod(namespace, name, { hasReference: true, ...options });

describe('pods that wait for the token of a failing host', () => {
  it('get an Event that names host and cause, with the reason of the Event of the Secret', async () => {
    const { state, runFirstRound } = setUpCatchUp();
    state.failures = new Map([
      ['shop', new Map([[host, refused]])],
      ['web', new Map([[other, throttled]])],
    ]);
    state.pods = [waitingPod('shop', 'cart'), waitingPod('web', 'site', { images: [`${other}/site:1`] })];
    await runFirstRound();
    await eventually('both have an Event', () => state.events.length === 2);
    assert.deepEqual(
      state.events.map(({ object, type, reason, message }) => ({ object, type, reason, message })),
      [
        {
          object: { kind: 'Pod', namespace: 'shop', name: 'cart', uid: 'uid-cart' },
          ...{ type: 'Warning', reason: 'PullTokenRefused', message: `${host}: ${refused.message}` },
        },
        {
          object: { kind: 'Pod', namespace: 'web', name: 'site', uid: 'uid-site' },
          ...{ type: 'Warning', reason: 'PullTokenRenewalFailed', message: `${other}: ${throttled.message}` },
        },
      ],
    );
  });

  it('get the cause that waiting does not resolve first, and the number of the other hosts', async () => {
    const { state, runFirstRound } = setUpCatchUp();
    state.failures = new Map([
      [
        'shop',
        new Map([
          [other, throttled],
          [host, refused],
        ]),
      ],
    ]);
    state.pods = [waitingPod('shop', 'cart', { images: [`${other}/a`, `${host}/b`] })];
    await runFirstRound();
    await eventually('it has an Event', () => state.events.length === 1);
    assert.equal(state.events[0]?.message, `${host} (and 1 more host): ${refused.message}`);
  });

  it('get no Event if their hosts do not fail, have a token, or they have no reference', async () => {
    const { state, runFirstRound, storeToken } = setUpCatchUp();
    state.failures = new Map(['stored', 'bare'].map((namespace) => [namespace, new Map([[host, refused]])]));
    storeToken('stored', start + 60 * minuteMs);
    state.pods = [waitingPod('shop', 'waits'), waitingPod('stored', 'pulls'), pendingPod('bare', 'bare')];
    await runFirstRound();
    assert.deepEqual(
      state.events.map(({ reason }) => reason),
      ['PullSecretNotInjected'],
    );
  });

  it('get one Event per hour, whichever replica sends it', async () => {
    const { state, runFirstRound, pass } = setUpCatchUp();
    state.failures = new Map([['shop', new Map([[host, refused]])]]);
    state.pods = [waitingPod('shop', 'cart')];
    await runFirstRound();
    for (let minutes = 0; minutes < 55; minutes += 5) {
      await pass(5.5 * minuteMs);
    }
    assert.equal(state.events.length, 2, 'the first one, and one after an hour');
    assert.notEqual(state.events[0]?.name, state.events[1]?.name);
    const replica = setUpCatchUp();
    replica.state.failures = state.failures;
    replica.state.pods = state.pods;
    await replica.pass(10 * minuteMs);
    await replica.runFirstRound();
    assert.equal(replica.state.events[0]?.name, state.events[0]?.name);
  });

  it('of one namespace do not displace those of others', async () => {
    const { state, runFirstRound } = setUpCatchUp();
    const failures = new Map([[host, refused]]);
    state.failures = new Map([
      ['many', failures],
      ['shop', failures],
    ]);
    state.pods = [
      ...Array.from({ length: 6_000 }, (_, index) => waitingPod('many', `p${index}`)),
      waitingPod('shop', 'cart'),
    ];
    await runFirstRound();
    await eventually('the bounded number is sent', () => state.events.length === 201);
    assert.equal(state.events.filter(({ object }) => object.namespace === 'shop').length, 1);
  });

  it('of many namespaces do not displace those of one that comes later in the list', async () => {
    const { state, runFirstRound, pass } = setUpCatchUp();
    const names = [...Array.from({ length: 30 }, (_, index) => `many-${index}`), 'shop'];
    state.failures = new Map(names.map((namespace) => [namespace, new Map([[host, refused]])]));
    state.pods = names.flatMap((namespace) =>
      Array.from({ length: namespace === 'shop' ? 1 : 200 }, (_, index) =>
        waitingPod(namespace, `${namespace}-${index}`),
      ),
    );
    await runFirstRound();
    await pass(6 * minuteMs);
    await eventually('the pod has an Event', () =>
      state.events.some(({ object }) => object.namespace === 'shop'),
    );
  });

  it('get the Event in a later round if the API server did not accept it, however late that is known', async () => {
    const pod = { namespace: 'shop', name: 'cart', uid: 'uid-cart', host, moreHosts: 0, failure: refused };
    const sent: { readonly reject: (error: Error) => void; readonly resolve: (created: boolean) => void }[] =
      [];
    const reporter = new WaitingPodReporter({
      createEvent: () => new Promise((resolve, reject) => void sent.push({ resolve, reject })),
      eventsPerSecond: 100_000,
      now: () => start,
      log: createJsonLog('silent', { write: () => undefined }),
    });
    const waiting = new Map([['shop', [pod]]]);
    reporter.report(waiting);
    await eventually('the Event is in flight', () => sent.length === 1);
    reporter.report(waiting);
    sent[0]?.reject(new KubeError({ code: 'timeout', operation: 'create an Event' }));
    await new Promise((resolve) => setImmediate(resolve));
    reporter.report(waiting);
    await eventually('it is sent again', () => sent.length === 2);
    sent[1]?.resolve(true);
    reporter.report(waiting);
    assert.equal(sent.length, 2);
  });
});

describe('a requested round', () => {
  it('follows soon, at most once a minute however many are requested', async () => {
    const { catchUp, state, runFirstRound, pass } = setUpCatchUp();
    await runFirstRound();
    assert.equal(state.lists, 1);
    await pass(2 * minuteMs);
    catchUp.requestRound('failing-host');
    await pass(secondMs);
    assert.equal(state.lists, 1);
    await pass(secondMs);
    assert.equal(state.lists, 2);
    for (let second = 0; second < 120; second += 1) {
      catchUp.requestRound('failing-host');
      await pass(secondMs);
    }
    assert.equal(state.lists, 4);
  });

  it('leaves renewal the time to notice that the host of an admitted pod fails', async () => {
    const { catchUp, state, runFirstRound, pass } = setUpCatchUp();
    await runFirstRound();
    await pass(2 * minuteMs);
    catchUp.requestRound('admitted-pod');
    await pass(14 * secondMs);
    assert.equal(state.lists, 1);
    await pass(secondMs);
    assert.equal(state.lists, 2);
  });
});
