/** Draws what growth.js measured, both axes logarithmic, in colours for light and dark pages. */

/** @typedef {import('./growth.js').Point} Point */

const WIDTH = 720;
const PANEL = { left: 80, width: 600, height: 220 };
const SERIES = /** @type {const} */ ([
  { key: 'ours', name: 'bitmap-tool create-from --allocated', color: '#3b82f6' },
  { key: 'qemu', name: 'qemu-img map --output=json', color: '#e07b00' },
]);

/** @param {readonly Point[]} points @param {string} machine */
export function growthPicture(points, machine) {
  const height = 2 * PANEL.height + 190;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13" fill="#808080">
<title>Wall time and peak memory against the bytes of L2 tables</title>
${SERIES.map(({ name, color }, index) => `<rect x="${PANEL.left + index * 290}" y="12" width="14" height="14" fill="${color}"/><text x="${PANEL.left + 20 + index * 290}" y="24">${name}</text>`).join('\n')}
${panel(points, 60, 'wall time', ({ seconds }) => seconds, duration)}
${panel(points, 60 + PANEL.height + 60, 'peak memory', ({ peakBytes }) => peakBytes, bytes)}
<text x="${PANEL.left}" y="${height - 12}" font-size="11">${machine}</text>
</svg>
`;
}

/**
 * @param {readonly Point[]} points @param {number} top @param {string} title
 * @param {(measured: import('./growth.js').Measured) => number} read @param {(value: number) => string} label
 */
function panel(points, top, title, read, label) {
  const values = points.flatMap(({ ours, qemu }) => [read(ours), read(qemu)]);
  const base = label === bytes ? 2 : 10;
  const log = (/** @type {number} */ value) => Math.log(value) / Math.log(base);
  const low = Math.floor(log(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(log(Math.max(...values))));
  const first = Math.log2(points[0]?.tableBytes ?? 1);
  const last = Math.max(first + 1, Math.log2(points.at(-1)?.tableBytes ?? 2));
  const x = (/** @type {number} */ tableBytes) =>
    PANEL.left + ((Math.log2(tableBytes) - first) / (last - first)) * PANEL.width;
  const y = (/** @type {number} */ value) => top + (1 - (log(value) - low) / (high - low)) * PANEL.height;
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => base ** (low + index));
  return [
    `<text x="${PANEL.left}" y="${top - 10}" font-weight="bold">${title}</text>`,
    ...ticks.map(
      (value) =>
        `<path d="M${PANEL.left} ${y(value)}h${PANEL.width}" stroke="#808080" stroke-opacity="0.3"/><text x="${PANEL.left - 8}" y="${y(value) + 4}" text-anchor="end">${label(value)}</text>`,
    ),
    ...points.map(
      ({ tableBytes }) =>
        `<text x="${x(tableBytes)}" y="${top + PANEL.height + 18}" text-anchor="middle" font-size="10">${bytes(tableBytes)}</text>`,
    ),
    ...SERIES.map(({ key, color }) => {
      const places = points.map(
        (point) => `${x(point.tableBytes).toFixed(1)},${y(read(point[key])).toFixed(1)}`,
      );
      const dots = places.map(
        (place) => `<circle cx="${place.replace(',', '" cy="')}" r="3" fill="${color}"/>`,
      );
      return `<polyline points="${places.join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>${dots.join('')}`;
    }),
  ].join('\n');
}

/** @param {number} seconds a power of ten */
function duration(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds} s`;
}

/** @param {number} count a power of two */
function bytes(count) {
  const power = Math.floor(Math.log2(count) / 10);
  return `${count / 1024 ** power} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}
