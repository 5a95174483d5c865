/** Builds the program and the library before the tests that run them. */
import { buildIfOlder } from './build-if-older.ts';

export default function setup(): void {
  buildIfOlder('dist/man/bitmap-tool.1', '--no-types');
}
