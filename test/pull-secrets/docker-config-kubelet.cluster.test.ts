import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
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

/** What we make of a document: what is written back, and what is reported. */
function rewritten(document: string): {
  text: string;
  malformed: readonly { place: string; text: string }[];
} {
  const { content, malformed } = readContent(document, undefined, resolveRegistry);
  const text = formatDockerConfig(content.auths);
  const again = readContent(text, undefined, resolveRegistry);
  assert.equal(formatDockerConfig(again.content.auths), text, 'a second pass changes nothing');
  assert.deepEqual(again.malformed, [], 'a second pass has nothing to report');
  return { text, malformed };
}

/** Reports never quote a value, and stay short. */
function assertDiscreet(malformed: readonly { place: string; text: string }[]): void {
  assert.ok(malformed.length <= 10);
  for (const { place, text } of malformed) {
    assert.ok(!text.includes(secretMarker) && text.length < 150, text);
    assert.ok(place.length < 1_000);
  }
}

describeWithKubeletParser('our parser of docker configs, beside that of the kubelet,', (kubelet) => {
  const read = (document: string) => kubelet().read(document);
  const parsed = (name: string): string => JSON.parse(name).toWellFormed();

  /** Judges each entry by itself, and adds up what the kubelet would read if the others were not there. */
  async function readOneByOne({ auths }: DockerConfigCase) {
    const accepted = new Map<string, KubeletReading[string]>();
    const refused: string[] = [];
    for (const members of auths) {
      if (members === null) accepted.clear();
      for (const [name, value] of members ?? []) {
        const alone = await read(`{"auths":{${name}:${value}}}`);
        const entry = alone && Object.entries(alone)[0];
        if (entry === undefined) refused.push(parsed(name));
        else accepted.set(...entry);
      }
    }
    return { accepted, refused };
  }

  async function assertAgreement(document: DockerConfigCase): Promise<void> {
    const { text, malformed } = rewritten(document.text);
    const result = await read(text);
    assert.ok(result, 'the kubelet accepts what we write');
    const { accepted, refused } = await readOneByOne(document);
    assert.deepEqual(new Map(Object.entries(result)), accepted);
    const original = await read(document.text);
    if (original !== undefined) assert.deepEqual(result, original);
    assertDiscreet(malformed);
    const places = malformed.map(({ place }) => place);
    for (const name of malformed.length < 10 ? refused : []) {
      assert.ok(places.includes(`auths[${JSON.stringify(name.slice(0, 128))}]`), `${name} is reported`);
    }
  }

  it('keeps exactly the entries that the kubelet accepts, with their credentials', async () => {
    for (const entry of fixedEntries) {
      const auths = [
        ['"before.example"', '{"auth":"dTpw"}'],
        ['"a.example"', entry],
        ['"behind.example"', '{"username":"u","password":"p"}'],
      ] as const;
      const text = `{"auths":{${auths.map(([name, value]) => `${name}:${value}`).join()}}}`;
      await assertAgreement({ text, auths: [auths] }).catch((error: unknown) => {
        throw new Error(`disagreement on ${entry.slice(0, 200)}`, { cause: error });
      });
    }
  });

  it('reads every document that the kubelet accepts as the kubelet does', async () => {
    for (const document of fixedDocuments) {
      const [original, result] = [await read(document), await read(rewritten(document).text)];
      assert.ok(result, document);
      if (original !== undefined) assert.deepEqual(result, original, document);
    }
  });

  it('agrees on whatever a user may have written', async () => {
    await fc.assert(fc.asyncProperty(dockerConfig, assertAgreement), { numRuns: 1_500 });
  });

  it('agrees on what is hardly a document any more', async () => {
    await fc.assert(
      fc.asyncProperty(brokenDocument, async (document) => {
        const { text, malformed } = rewritten(document);
        const [original, result] = [await read(document), await read(text)];
        assert.ok(result);
        if (original === undefined) assert.ok(malformed.length > 0, 'what the kubelet refuses is reported');
        else assert.deepEqual(result, original);
        assertDiscreet(malformed);
      }),
      { numRuns: 1_500 },
    );
  });
});
