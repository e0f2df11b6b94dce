// Tests the values of the metrics, and that their labels have bounded cardinality.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPrometheusMetrics } from '../../src/telemetry/metrics.ts';

describe('metrics', () => {
  it('have a bounded number of regions, even if image names invent regions', async () => {
    const metrics = createPrometheusMetrics();
    for (let index = 0; index < 1000; index += 1) {
      metrics.countEcrCall(`xx-made-up-${index}`, 'network', 0.2);
    }
    const { text } = await metrics.render();
    const series = text.match(/^ecr_pull_secrets_ecr_requests_total\{.*$/gm) ?? [];
    assert.ok(series.length <= 65, `${series.length} series`);
    assert.match(text, /ecr_requests_total\{region="other",outcome="network"\} 984/);
    metrics.countEcrCall('eu-west-1', 'success', 0.2);
    metrics.countEcrCall('eu-west-1', 'throttled', 0.2);
    assert.match((await metrics.render()).text, /\{region="eu-west-1",outcome="throttled"\} 1/);
  });

  it('have a bounded number of codes, even if responses invent codes', async () => {
    const metrics = createPrometheusMetrics();
    for (let index = 0; index < 1000; index += 1) {
      metrics.countEcrCall('eu-west-1', `Made${index}Exception`, 0.2);
    }
    const { text } = await metrics.render();
    assert.match(text, /ecr_requests_total\{region="eu-west-1",outcome="other"\} 936/);
  });

  it('show how long calls to ECR take, with the same number of series for any number of regions and codes', async () => {
    const metrics = createPrometheusMetrics();
    for (let index = 0; index < 100; index += 1) {
      metrics.countEcrCall(`xx-made-up-${index}`, `Made${index}Exception`, 3);
    }
    metrics.countEcrCall('eu-west-1', 'success', 0.2);
    const { text } = await metrics.render();
    const name = 'ecr_pull_secrets_ecr_request_duration_seconds';
    assert.match(text, new RegExp(`^${name}_bucket\\{le="0\\.25",result="success"\\} 1$`, 'm'));
    assert.match(text, new RegExp(`^${name}_bucket\\{le="2\\.5",result="failure"\\} 0$`, 'm'));
    assert.match(text, new RegExp(`^${name}_count\\{result="failure"\\} 100$`, 'm'));
    assert.equal(text.match(new RegExp(`^${name}_count`, 'gm'))?.length, 2);
  });

  it('count every admission request between two scrapes', async () => {
    const metrics = createPrometheusMetrics();
    for (let round = 1; round <= 2; round += 1) {
      for (let index = 0; index < 3000; index += 1) {
        metrics.review('injected', index % 3 === 0 ? 'already-referenced' : 'ecr-image');
        metrics.admissionSeconds(0.002);
      }
      const { text } = await metrics.render();
      assert.match(
        text,
        new RegExp(`admission_requests_total\\{outcome="injected",reason="ecr-image"\\} ${2000 * round}\\n`),
      );
      assert.match(
        text,
        new RegExp(
          `admission_requests_total\\{outcome="injected",reason="already-referenced"\\} ${1000 * round}\\n`,
        ),
      );
      assert.match(text, new RegExp(`admission_request_duration_seconds_count ${3000 * round}\\n`));
      assert.match(
        text,
        new RegExp(`admission_request_duration_seconds_bucket\\{le="0.0025"\\} ${3000 * round}\\n`),
      );
    }
  });

  it('show the state at the time of the scrape, without regions that are gone', async () => {
    const metrics = createPrometheusMetrics();
    let ends = new Map([['us-east-1', 1_800_000_000_000]]);
    let isInSync = false;
    let dropped = 0;
    const failing = [{ permanent: true }, { permanent: false }, { permanent: true }];
    metrics.setState({
      apiCalls: () => ({ inFlight: 5, slow: 2, waiting: 1, overloaded: 4 }),
      isInSync: () => isInSync,
      tokenExpiries: (labelOf) => new Map([...ends].map(([region, end]) => [labelOf(region), end])),
      due: () => 7,
      renewalLatenessMs: () => 90_500,
      areCredentialsValid: () => (isInSync ? false : undefined),
      unmanagedSecrets: () => 8,
      certificateExpiresAt: () => (isInSync ? 1_900_000_000_000 : undefined),
      failingHosts: () => failing,
      droppedLogLines: () => dropped,
      fullSecrets: () => 3,
      uninjectedPods: () => 6,
    });
    metrics.countDroppedHosts('secret-full', 2);
    metrics.countForgottenHosts('limit', 5);
    const first = (await metrics.render()).text;
    assert.match(first, /^ecr_pull_secrets_in_sync 0$/m);
    assert.match(
      first,
      /^ecr_pull_secrets_token_expiration_timestamp_seconds\{region="us-east-1"\} 1800000000$/m,
    );
    assert.match(first, /^ecr_pull_secrets_renewals_due 7$/m);
    assert.match(first, /^ecr_pull_secrets_renewal_lateness_seconds 90\.5$/m);
    assert.match(first, /^ecr_pull_secrets_unmanaged_secrets 8$/m);
    assert.doesNotMatch(first, /^ecr_pull_secrets_aws_credentials_ok/m, 'it is not known yet');
    assert.match(first, /^ecr_pull_secrets_full_secrets 3$/m);
    assert.match(first, /^ecr_pull_secrets_uninjected_pods 6$/m);
    assert.match(first, /^ecr_pull_secrets_api_requests\{state="in-flight"\} 5$/m);
    assert.match(first, /^ecr_pull_secrets_api_requests\{state="slow"\} 2$/m);
    assert.match(first, /^ecr_pull_secrets_api_requests\{state="waiting"\} 1$/m);
    assert.match(first, /^ecr_pull_secrets_api_requests_dropped_total 4$/m);
    assert.match(first, /^ecr_pull_secrets_hosts_dropped_total\{reason="secret-full"\} 2$/m);
    assert.match(first, /^ecr_pull_secrets_unstored_hosts_forgotten_total\{reason="limit"\} 5$/m);
    assert.match(first, /^ecr_pull_secrets_failing_hosts\{permanent="true"\} 2$/m);
    assert.match(first, /^ecr_pull_secrets_failing_hosts\{permanent="false"\} 1$/m);
    assert.match(first, /^ecr_pull_secrets_log_lines_dropped_total 0$/m);
    assert.doesNotMatch(first, /^ecr_pull_secrets_certificate_expiration_timestamp_seconds/m);
    isInSync = true;
    dropped = 12;
    ends = new Map();
    const second = (await metrics.render()).text;
    assert.match(second, /^ecr_pull_secrets_in_sync 1$/m);
    assert.match(second, /^ecr_pull_secrets_aws_credentials_ok\{identity="default"\} 0$/m);
    assert.match(second, /^ecr_pull_secrets_log_lines_dropped_total 12$/m);
    assert.match((await metrics.render()).text, /^ecr_pull_secrets_log_lines_dropped_total 12$/m);
    assert.doesNotMatch(second, /us-east-1/);
    assert.match(second, /^ecr_pull_secrets_certificate_expiration_timestamp_seconds\{.*\} 1900000000$/m);
  });

  it('have at most 64 series by region and one for the others over all scrapes', async () => {
    const metrics = createPrometheusMetrics();
    let scrape = 0;
    metrics.setState({
      apiCalls: () => ({ inFlight: 0, slow: 0, waiting: 0, overloaded: 0 }),
      isInSync: () => true,
      tokenExpiries: (labelOf) =>
        new Map(
          Array.from({ length: 1_900 }, (_, index) => [
            labelOf(`made-up-${scrape}-${index}`),
            1_800_000_000_000,
          ]),
        ),
      due: () => 0,
      renewalLatenessMs: () => 0,
      areCredentialsValid: () => undefined,
      unmanagedSecrets: () => 0,
      certificateExpiresAt: () => undefined,
      failingHosts: () => [],
      droppedLogLines: () => 0,
      fullSecrets: () => 0,
      uninjectedPods: () => 0,
    });
    const seen = new Set<string>();
    for (scrape = 0; scrape < 3; scrape += 1) {
      const { text } = await metrics.render();
      for (const [line] of text.matchAll(/^ecr_pull_secrets_token_expiration_timestamp_seconds\{.*\}/gm)) {
        seen.add(line);
      }
    }
    assert.equal(seen.size, 65);
  });

  it('count objects that cannot be parsed by resource', async () => {
    const metrics = createPrometheusMetrics();
    metrics.countUnreadableObject('secrets');
    metrics.countUnreadableObject('secrets');
    const { text } = await metrics.render();
    assert.match(text, /^ecr_pull_secrets_invalid_objects_total\{resource="secrets"\} 2$/m);
  });
});
