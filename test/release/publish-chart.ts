// Publishes only the chart of a release, for an image that need not exist: publish-chart.ts FOLDER IMAGE DIGEST CHARTS
import packageJson from '../../package.json' with { type: 'json' };
import { publishChart } from '../../release/publish.ts';
import { foldersOf } from '../../release/release-folders.ts';

const [folder = '', image = '', digest = '', charts = ''] = process.argv.slice(2);
const options = { image, charts, repository: packageJson.homepage, unreleased: true, plainHttp: true };
publishChart(foldersOf(folder), digest, options);
