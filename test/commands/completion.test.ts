// Tests what completion proposes, and the scripts in a real bash and a real kubectl.
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseCommandLine } from '../../src/cli.ts';
import { obtainKubectl } from '../chart/helm.ts';
import { runProgram } from '../support/run-program.ts';
import { runCommand } from './run-command.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** The words that completion proposes for the last word of a command line. `files`: the shell proposes files. */
function propose(line: string): string[] {
  const reply = parseCommandLine(['__complete', ...line.split(' ')]);
  assert.ok('exitCode' in reply);
  assert.deepEqual([reply.exitCode, reply.stderr], [0, '']);
  const lines = reply.stdout.trimEnd().split('\n');
  const directive = lines.pop();
  assert.ok(directive === ':0' || directive === ':4', directive);
  const words = lines.map((text) => text.split('\t')[0] ?? '');
  return directive === ':0' ? [...words, 'files'] : words;
}

describe('completion', () => {
  for (const [line, expected] of [
    ['s', ['serve', 'sync', 'status']],
    ['frob', []],
    ['doctor ', ['pod', 'image']],
    ['doctor p', ['pod']],
    ['help un', ['uninstall']],
    ['status --st', ['--state']],
    ['status --state e', ['expired', 'edited']],
    ['status --state=ex', ['--state=expired']],
    // as bash splits it
    ['status --state = ex', ['expired']],
    ['status --state =', propose('status --state ')],
    ['status --output ', ['text', 'wide', 'json']],
    ['doctor --output h', ['html']],
    ['doctor --group webhook --gr', ['--group']],
    ['status --watch --wa', []],
    ['doctor pod shop/cart --output ', ['text', 'json']],
    ['sync --config ', ['files']],
    ['explain -f ', ['files']],
    ['sync --config=co', ['files']],
    ['sync --namespace ', []],
    // A value is not a command.
    ['--frobnicate sync --dry', []],
    ['sync --namespace doctor --out', ['--output']],
    ['completion ', ['bash', 'zsh', 'fish', 'kubectl']],
    ['uninstall ', ['--dry-run', '--yes', '--config', '--output', '--help']],
  ] as const) {
    it(`proposes ${expected.join(' ') || 'nothing'} for '${line}'`, () => {
      assert.deepEqual(propose(line), expected);
    });
  }

  it('describes commands and flags', async () => {
    const reply = parseCommandLine(['__complete', 'uninstall', '--y']);
    assert.ok('exitCode' in reply);
    assert.equal(reply.stdout, '--yes\tremove what --dry-run lists\n:4\n');
  });
});

describe('the completion scripts', () => {
  let folder = '';
  let env: NodeJS.ProcessEnv = {};
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'completion-'));
    env = { PATH: `${folder}${delimiter}${process.env['PATH']}`, HOME: folder };
    await addExecutable('ecr-pull-secrets', `#!/bin/sh\nexec '${process.execPath}' '${mainFile}' "$@"\n`);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function addExecutable(name: string, content: string): Promise<void> {
    await writeFile(join(folder, name), content);
    await chmod(join(folder, name), 0o755);
  }

  async function scriptFor(target: string): Promise<string> {
    const { code, stdout, stderr } = await runCommand(['completion', target]);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  }

  it('completes in bash', async () => {
    await writeFile(join(folder, 'completion.bash'), await scriptFor('bash'));
    await writeFile(join(folder, 'my config.yaml'), '');
    // What bash does on the Tab key: it splits the line at blanks and at `=`, and calls the function.
    const test = `
      cd "$HOME" && source completion.bash
      complete -p ecr-pull-secrets
      propose() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ecr_pull_secrets; printf '%s,' "\${COMPREPLY[@]}"; echo; }
      propose ecr-pull-secrets sta
      propose ecr-pull-secrets status --output = j
      propose ecr-pull-secrets sync --config my
      propose ecr-pull-secrets sync --config = my
      propose ecr-pull-secrets sync --namespace ''
    `;
    const { code, stdout, stderr } = await runProgram('bash', ['--norc', '-c', test], { env });
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      'complete -F _ecr_pull_secrets ecr-pull-secrets',
      'status,',
      'json,',
      'my config.yaml,',
      'my config.yaml,',
      ',',
    ]);
  });

  it('completes in kubectl', async (t) => {
    const kubectl = await obtainKubectl();
    if (kubectl === undefined) {
      t.skip('no kubectl for this platform');
      return;
    }
    await addExecutable('kubectl', `#!/bin/sh\nexec '${kubectl}' "$@"\n`);
    await addExecutable('kubectl-ecr_pull_secrets', `#!/bin/sh\nexec ecr-pull-secrets "$@"\n`);
    await addExecutable('kubectl_complete-ecr_pull_secrets', await scriptFor('kubectl'));
    const words = ['__complete', 'ecr-pull-secrets', 'status', '--output', 'w'];
    const { code, stdout } = await runProgram('kubectl', words, { env });
    assert.deepEqual([code, stdout], [0, 'wide\n:4\n']);
  });
});
