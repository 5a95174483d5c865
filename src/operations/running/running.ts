/**
 * The operations in a running QEMU, loaded together.
 */
export { createFromRunning } from './create-from.ts';
export {
  addRunning,
  clearRunning,
  disableRunning,
  enableRunning,
  mergeRunning,
  removeRunning,
} from './edit-bitmaps.ts';
export { openQemu, type RunningQemu } from './open-qemu.ts';
