/** Builds the content of the package. */
import { buildIfOlder } from './build-if-older.ts';

export default function setup(): void {
  buildIfOlder('dist/types/index.d.ts');
}
