// Tests the HTML report of doctor in a real browser: it renders without scripts and requests, and shows hostile names as text.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromium, type Page } from 'playwright-core';
import { htmlReport } from '../../src/commands/doctor-html.ts';
import type { DoctorReport } from '../../src/commands/doctor-report.ts';
import { isCi } from '../cluster/cluster-suite.ts';
import { findProgram } from '../support/executables.ts';

const executablePath = findProgram('chromium', process.env);
const obstacle =
  executablePath === undefined
    ? 'NO BROWSER: no chromium in PATH (on Debian: apt-get install chromium)'
    : undefined;

const hostile = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>\u202e';
const hourMs = 3_600_000;
const time = '2026-01-02T03:04:05.000Z';

const report: DoctorReport = {
  version: '1.2.3',
  time,
  viewpoint: 'outside',
  apiServer: 'https://127.0.0.1:6443',
  namespace: hostile,
  groups: [
    {
      name: 'webhook',
      checks: [
        { check: 'webhook-rules', outcome: 'ok', summary: 'the webhook is called for new pods' },
        {
          check: 'webhook-endpoints',
          outcome: 'failed',
          summary: `Service ${hostile} has no ready endpoints`,
          meaning: hostile,
          remedy: `run "${hostile}"`,
          page: 'troubleshooting.md#the-api-server-cannot-call-the-webhook',
          details: [hostile],
        },
        { check: 'webhook-order', outcome: 'warning', summary: 'w' },
        { check: 'webhook-dry-run', outcome: 'skipped', summary: 's' },
      ],
    },
  ],
  timeline: [
    { namespace: 'shop', host: 'later.example', expiresAt: Date.parse(time) + 12 * hourMs },
    { namespace: hostile, host: hostile, expiresAt: Date.parse(time) + 3 * hourMs },
    { namespace: 'old', host: 'expired.example', expiresAt: Date.parse(time) - hourMs },
    { namespace: 'shop', host: hostile, expiresAt: undefined, failure: `denied ${hostile}` },
  ],
};

/** Opens the report as a file, and records what it should not do. */
async function openReport(
  html: string,
  use: (page: Page, problems: string[]) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'report-'));
  const file = join(folder, 'report.html');
  await writeFile(file, html);
  const browser = await chromium.launch({ executablePath: executablePath ?? '', args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on('console', (message) => problems.push(`console: ${message.text()}`));
    page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
    page.on('dialog', (dialog) => problems.push(`dialog: ${dialog.message()}`));
    page.on('request', (request) => {
      if (request.url() !== pathToFileURL(file).href && !request.url().startsWith('data:')) {
        problems.push(`request: ${request.url()}`);
      }
    });
    await page.goto(pathToFileURL(file).href);
    await use(page, problems);
  } finally {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  }
}

it('the HTML report renders in Chromium, requests nothing, and shows hostile names as text', {
  skip: !isCi(process.env) && obstacle,
}, async () => {
  assert.equal(obstacle, undefined);
  await openReport(htmlReport(report), async (page, problems) => {
    const shown = hostile.replace('\u202e', '<U+202E>');
    assert.equal(await page.title(), 'ecr-pull-secrets doctor');
    assert.deepEqual(await page.locator('h1, h2').allInnerTexts(), [
      'ecr-pull-secrets doctor',
      'webhook',
      'Token expiries',
      'Failing hosts',
    ]);
    assert.equal(await page.locator('.counts').textContent(), '1 ok, 1 warning, 1 failed, 1 skipped');
    assert.equal(
      await page.locator('.failed .summary').textContent(),
      `Service ${shown} has no ready endpoints`,
    );
    assert.equal(await page.locator('.failed .details li').textContent(), shown);
    assert.equal(await page.locator('img, script, iframe, object').count(), 0);

    const rows = page.locator('table.timeline tbody tr');
    assert.deepEqual(await rows.locator('th').allInnerTexts(), ['old', shown, 'shop']);
    assert.match((await rows.nth(0).textContent()) ?? '', /expired \(2026-01-02T02:04:05\.000Z\)/);
    const bars = await rows.locator('.bar div').all();
    const widths = await Promise.all(bars.map(async (bar) => (await bar.boundingBox())?.width ?? 0));
    const [expired = 1, soon = 0, late = 0] = widths;
    assert.equal(expired, 0);
    assert.ok(Math.abs(late / soon - 4) < 0.1, `the bars are ${widths.join(', ')} wide`);
    assert.equal(
      await page.locator('section', { hasText: 'Failing hosts' }).locator('tbody td').last().textContent(),
      `denied ${shown}`,
    );

    // Light and dark have different colours, and nothing is wider than a phone.
    const background = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await background();
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.notEqual(await background(), light);
    await page.setViewportSize({ width: 400, height: 800 });
    const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - window.innerWidth');
    assert.ok(overflow <= 0, `${overflow} px wider than the window`);
    assert.deepEqual(problems, []);
  });
});
