import { createRequire } from 'node:module';

/**
 * The compiler. An import would parse its 9 MB three times.
 *
 * @type {typeof import('typescript')}
 */
export const ts = createRequire(import.meta.url)('typescript');
