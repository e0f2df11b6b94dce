// Lists the settings of a configuration that differ from the defaults, without values that should not be shown. Pure.
import type { Config } from '../config/schema.ts';
import { isObject } from '../util/json.ts';
import { countOf } from './check-text.ts';

const maxValueLength = 120;

/** @returns lines such as `webhook.port: 9443` */
export function listChangedSettings(config: Config, defaults: Config): string[] {
  return [...findChanges(config, defaults, '')];
}

function* findChanges(value: unknown, usual: unknown, path: string): Generator<string> {
  if (JSON.stringify(value) === JSON.stringify(usual)) {
    return;
  }
  // Its keys are host names, and not settings.
  if (path === 'hosts' && isObject(value)) {
    yield `hosts: ${countOf(Object.keys(value).length, 'host name')}`;
    return;
  }
  if (isObject(value) && (isObject(usual) || usual === undefined)) {
    for (const [key, item] of Object.entries(value)) {
      yield* findChanges(
        item,
        isObject(usual) ? usual[key] : undefined,
        path === '' ? key : `${path}.${key}`,
      );
    }
    return;
  }
  yield `${path}: ${formatValue(value, path)}`;
}

/** Settings in ms. */
const durationPattern = /(Timeout|Delay|Margin|Life|After|interval|Age)$/;

function formatValue(value: unknown, path: string): string {
  // Rules contain external IDs and policies.
  if (path === 'registries' && Array.isArray(value)) {
    return countOf(value.length, 'rule');
  }
  if (typeof value === 'number' && durationPattern.test(path)) {
    return formatDuration(value);
  }
  const text = Array.isArray(value) ? value.join(', ') : String(value);
  return text.length > maxValueLength ? `${text.slice(0, maxValueLength)}…` : text === '' ? '(empty)' : text;
}

function formatDuration(ms: number): string {
  if (ms === 0) {
    return '0s';
  }
  const [divisor, unit] =
    ms % 3_600_000 === 0 ? [3_600_000, 'h'] : ms % 60_000 === 0 ? [60_000, 'm'] : [1000, 's'];
  return ms % divisor === 0 ? `${ms / divisor}${unit}` : `${ms}ms`;
}
