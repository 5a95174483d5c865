/**
 * The operations in a running QEMU, loaded together.
 */
export { checkRunning } from './check-checkpoints.ts';
export { createFromRunning } from './create-from.ts';
export {
  checkDomain,
  type DomainReport,
  repairDomain,
} from './domain-checkpoints.ts';
export { dumpRunning } from './dump-bitmap.ts';
export {
  addRunning,
  clearRunning,
  disableRunning,
  enableRunning,
  mergeRunning,
  removeRunning,
} from './edit-bitmaps.ts';
export { listRunning } from './list-bitmaps.ts';
export { imageOfDomain, openDomain } from './open-domain.ts';
export { openQemu, type RunningQemu } from './open-qemu.ts';
export { repairRunning } from './repair-checkpoints.ts';
