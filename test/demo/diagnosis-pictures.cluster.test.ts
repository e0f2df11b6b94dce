// Checks that the pictures of doctor and status show what the commands print now, in an installation with one broken rule.
// With UPDATE_PICTURES=1, it writes the pictures (npm run docs:pictures).
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { before, it } from 'node:test';
import { diagnosisPictures, drawDiagnosis } from '../../demo/diagnosis-pictures.ts';
import { brokenSetups } from '../diagnosis/broken-setups.ts';
import { describeOnHealthyInstallation, doctorLimits } from '../diagnosis/healthy-installation-suite.ts';
import { eventually } from '../support/eventually.ts';

describeOnHealthyInstallation('the pictures of doctor and status', (installation) => {
  before(async () => {
    const setup = brokenSetups.find((one) => one.name === 'a role outside allowedRoles');
    assert.ok(setup);
    await setup.break(installation());
    await eventually('the program has reported the failure', async () => {
      const { stdout } = await installation().print('administrator', ['status', '--namespace', 'payments']);
      return /failing .*allowedRoles/.test(stdout);
    });
  }, doctorLimits);

  for (const picture of diagnosisPictures) {
    const { file, command, columns } = picture;
    it(
      `show what ${command.join(' ')} prints (update them with npm run docs:pictures)`,
      doctorLimits,
      async () => {
        const { namespace } = installation().release;
        // A picture shows the usual namespace, for which status has no note.
        const args = [...command, '--install-namespace', namespace];
        const { stdout, stderr } = await installation().print('administrator', args, {
          preload: new URL('./terminal-output.ts', import.meta.url).href,
          environment: { LANG: 'C.UTF-8', COLUMNS: String(columns) },
        });
        assert.equal(stderr, '');
        const drawn = drawDiagnosis(stdout, namespace, picture);
        if (process.env['UPDATE_PICTURES'] === '1') {
          await writeFile(file, drawn);
        }
        assert.equal(await readFile(file, 'utf8'), drawn);
      },
    );
  }
});
