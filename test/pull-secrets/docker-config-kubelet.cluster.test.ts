// Tests that the program reads docker configs as the kubelet's own parser does.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import type { MalformedPart } from '../../src/pull-secrets/docker-config.ts';
import { formatDockerConfig, readContent } from '../../src/pull-secrets/merge.ts';
import { describeWithKubeletParser, type KubeletReading } from '../cluster/kubelet-parser.ts';
import { resolveRegistry } from '../support/registries.ts';
import {
  brokenDocument,
  type DockerConfigCase,
  dockerConfig,
  fixedDocuments,
  fixedEntries,
  secretMarker,
} from './docker-config-generators.ts';

/** Parses a document: the text that is written back, and the reported problems. */
function rewrite(document: string): {
  text: string;
  malformed: readonly MalformedPart[];
} {
  const { content, malformed } = readContent(document, undefined, resolveRegistry);
  const text = formatDockerConfig(content.auths);
  const again = readContent(text, undefined, resolveRegistry);
  assert.equal(formatDockerConfig(again.content.auths), text, 'a second pass changes nothing');
  assert.deepEqual(again.malformed, [], 'a second pass reports nothing');
  return { text, malformed };
}

/** Checks that reports quote no value and are short. */
function assertNoSecrets(malformed: readonly MalformedPart[]): void {
  assert.ok(malformed.length <= 10);
  for (const { path, problem } of malformed) {
    assert.ok(!problem.includes(secretMarker) && problem.length < 150, problem);
    assert.ok(path.length < 1_000);
  }
}

describeWithKubeletParser(
  'the parser of docker configs, compared with the parser of the kubelet,',
  (kubelet) => {
    const read = (document: string) => kubelet().read(document);
    const parsed = (name: string): string => JSON.parse(name).toWellFormed();

    /** Reads each entry separately with the kubelet's parser, and merges the results. */
    async function readOneByOne({ auths }: DockerConfigCase) {
      const accepted = new Map<string, KubeletReading[string]>();
      const refused: string[] = [];
      for (const members of auths) {
        if (members === null) {
          accepted.clear();
        }
        for (const [name, value] of members ?? []) {
          const alone = await read(`{"auths":{${name}:${value}}}`);
          const entry = alone && Object.entries(alone)[0];
          if (entry === undefined) {
            refused.push(parsed(name));
          } else {
            accepted.set(...entry);
          }
        }
      }
      return { accepted, refused };
    }

    async function assertAgreement(document: DockerConfigCase): Promise<void> {
      const { text, malformed } = rewrite(document.text);
      const result = await read(text);
      assert.ok(result, 'the kubelet accepts the written document');
      const { accepted, refused } = await readOneByOne(document);
      assert.deepEqual(new Map(Object.entries(result)), accepted);
      const original = await read(document.text);
      if (original !== undefined) {
        assert.deepEqual(result, original);
      }
      assertNoSecrets(malformed);
      const paths = malformed.map(({ path }) => path);
      for (const name of malformed.length < 10 ? refused : []) {
        assert.ok(paths.includes(`auths[${JSON.stringify(name.slice(0, 128))}]`), `${name} is reported`);
      }
    }

    it('keeps exactly the entries that the kubelet accepts, with their credentials', async () => {
      for (const entry of fixedEntries) {
        const auths = [
          ['"before.example"', '{"auth":"dTpw"}'],
          ['"a.example"', entry],
          ['"after.example"', '{"username":"u","password":"p"}'],
        ] as const;
        const text = `{"auths":{${auths.map(([name, value]) => `${name}:${value}`).join()}}}`;
        await assertAgreement({ text, auths: [auths] }).catch((error: unknown) => {
          throw new Error(`disagreement on ${entry.slice(0, 200)}`, { cause: error });
        });
      }
    });

    it('reads every document that the kubelet accepts as the kubelet does', async () => {
      for (const document of fixedDocuments) {
        const [original, result] = [await read(document), await read(rewrite(document).text)];
        assert.ok(result, document);
        if (original !== undefined) {
          assert.deepEqual(result, original, document);
        }
      }
    });

    it('agrees on documents that users may write', async () => {
      await fc.assert(fc.asyncProperty(dockerConfig, assertAgreement), { numRuns: 1_500 });
    });

    it('agrees on broken documents', async () => {
      await fc.assert(
        fc.asyncProperty(brokenDocument, async (document) => {
          const { text, malformed } = rewrite(document);
          const [original, result] = [await read(document), await read(text)];
          assert.ok(result);
          if (original === undefined) {
            assert.ok(malformed.length > 0, 'a document that the kubelet refuses is reported');
          } else {
            assert.deepEqual(result, original);
          }
          assertNoSecrets(malformed);
        }),
        { numRuns: 1_500 },
      );
    });
  },
);
