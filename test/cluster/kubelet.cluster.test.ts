// Tests that the kubelet's parser can be called with any document and returns what it parses.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeWithKubeletParser } from './kubelet-parser.ts';

describeWithKubeletParser("the kubelet's parser of docker configs", (parser) => {
  it('returns the entries of a document or its refusal, in the order of the calls', async () => {
    const documents = [
      '{"auths":{"a":{"auth":"dTpw","email":"e"},"b":null}}',
      '{"auths":{"a":{"auth":"!"}}}',
      '{}',
    ];
    assert.deepEqual(await Promise.all(documents.map((document) => parser().read(document))), [
      { a: ['u', 'p', 'e'], b: ['', '', ''] },
      undefined,
      {},
    ]);
  });

  it('accepts documents that are not valid UTF-8', async () => {
    const document = Buffer.from('{"auths":{"a":{"username":"\xff\n"}}}', 'latin1');
    assert.equal(await parser().read(document), undefined);
    assert.deepEqual(await parser().read(document.filter((byte) => byte !== 0x0a)), {
      a: ['\ufffd', '', ''],
    });
  });

  it('selects credentials by the host and port in the image', async () => {
    const auth = btoa('u:p');
    const document = JSON.stringify({ auths: { 'a.example:5000': { auth } } });
    assert.deepEqual(await parser().lookUp(document, 'a.example:5000/app:1'), [['u', 'p', '']]);
    assert.deepEqual(await parser().lookUp(document, 'a.example/app:1'), []);
    assert.equal(await parser().lookUp('{"auths":{"a":{"auth":"!"}}}', 'a.example/app:1'), undefined);
  });
});
