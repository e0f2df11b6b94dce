// Checks that everything that states the version of a release states the same one, and cuts its notes from the changelog.

/** The files and the tag that must agree. */
export interface ReleaseSources {
  /** `vX.Y.Z`; undefined outside of the release workflow. */
  readonly tag: string | undefined;
  readonly packageVersion: string;
  /** Content of Chart.yaml, parsed. */
  readonly chart: { readonly version?: unknown; readonly appVersion?: unknown };
  /** Content of CHANGELOG.md. */
  readonly changelog: string;
  /** Take the notes from the unreleased changes, for a dry run. */
  readonly unreleased: boolean;
}

/** Returns every reason why the sources are not those of a release, each as one sentence. */
export function findReleaseProblems(sources: ReleaseSources): string[] {
  const { tag, packageVersion, chart, changelog, unreleased } = sources;
  const stated: readonly (readonly [string, unknown, string])[] = [
    ...(tag === undefined ? [] : ([['the tag', tag, `v${packageVersion}`]] as const)),
    ['version in Chart.yaml', chart.version, packageVersion],
    ['appVersion in Chart.yaml', chart.appVersion, packageVersion],
  ];
  const heading = unreleased ? '[Unreleased]' : `[${packageVersion}]`;
  return [
    ...stated
      .filter(([, version, expected]) => version !== expected)
      .map(([name, version, expected]) => `${name} is ${version}, but package.json requires ${expected}`),
    ...(cutSection(changelog, heading) === '' ? [`CHANGELOG.md has no entries under "## ${heading}"`] : []),
  ];
}

/** Returns the text below a heading of the changelog such as `## [1.0.0] - 2026-11-27`; empty if there is none. */
export function cutSection(changelog: string, heading: string): string {
  const section = changelog.split(/^## /m).find((text) => text.startsWith(heading));
  return (
    section
      ?.slice(section.indexOf('\n'))
      .replace(/^\[[^\]\n]+\]: .*$/gm, '')
      .trim() ?? ''
  );
}

/** Replaces relative links of Markdown with links to the files of a release. */
export function makeLinksAbsolute(markdown: string, folder: string, base: string): string {
  return markdown.replaceAll(/\]\((?![a-z]+:|#)([^)]+)\)/g, (_, path: string) => {
    const { pathname, hash } = new URL(path, `file:///${folder}`);
    return `](${base}${pathname}${hash})`;
  });
}
