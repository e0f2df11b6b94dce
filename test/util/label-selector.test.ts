// Parses and matches label selectors as the API server does.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Labels, parseLabelSelector } from '../../src/util/label-selector.ts';
import { invalidSelectors } from './invalid-selectors.ts';

describe('a label selector', () => {
  const cases: [string, Labels, boolean][] = [
    ['', {}, true],
    ['  ', { team: 'shop' }, true],
    ['team=shop', { team: 'shop' }, true],
    ['team == shop', { team: 'shop' }, true],
    ['team=shop', { team: 'other' }, false],
    ['team=shop', {}, false],
    ['team=', { team: '' }, true],
    ['team=', {}, false],
    ['team!=shop', { team: 'other' }, true],
    ['team!=shop', {}, true],
    ['team!=shop', { team: 'shop' }, false],
    ['team', { team: '' }, true],
    ['team', {}, false],
    ['!team', {}, true],
    ['! team', { team: 'shop' }, false],
    ['env in (a, b)', { env: 'b' }, true],
    ['env in (a, b)', { env: 'c' }, false],
    ['env in (a,)', { env: '' }, true],
    ['env in ()', { env: '' }, true],
    ['env notin (a, b)', { env: 'c' }, true],
    ['env notin (a, b)', {}, true],
    ['env notin(a,b)', { env: 'a' }, false],
    ['team=shop,env in (a,b),!legacy', { team: 'shop', env: 'a' }, true],
    ['team=shop,env in (a,b),!legacy', { team: 'shop', env: 'a', legacy: '' }, false],
    ['kubernetes.io/metadata.name=shop', { 'kubernetes.io/metadata.name': 'shop' }, true],
    ['in in (in)', { in: 'in' }, true],
    ['toString', {}, false],
    ['constructor!=x', {}, true],
  ];
  for (const [selector, labels, expected] of cases) {
    it(`${selector} ${expected ? 'matches' : 'does not match'} ${JSON.stringify(labels)}`, () => {
      assert.equal(parseLabelSelector(selector)?.(labels), expected);
    });
  }

  for (const selector of invalidSelectors) {
    it(`${selector.slice(0, 30)} is refused`, () => {
      assert.equal(parseLabelSelector(selector), undefined);
    });
  }

  it('of megabytes is parsed in linear time', () => {
    assert.equal(parseLabelSelector(`a=${' '.repeat(1_000_000)}b c`), undefined);
    assert.equal(parseLabelSelector(`a in (${'b,'.repeat(300_000)})`)?.({ a: '' }), true);
    assert.equal(parseLabelSelector('a.'.repeat(500_000)), undefined);
  });
});
