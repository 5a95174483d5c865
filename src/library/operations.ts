/**
 * The operations of the library, without checks of their arguments.
 */
export { addBitmaps } from '../operations/bitmaps/add-bitmaps.ts';
export { applyBitmapActions } from '../operations/bitmaps/bitmap-actions.ts';
export { clearBitmaps } from '../operations/bitmaps/clear-bitmaps.ts';
export { dumpBitmap } from '../operations/bitmaps/dump-bitmap.ts';
export { listBitmaps } from '../operations/bitmaps/list-bitmaps.ts';
export { mergeBitmaps } from '../operations/bitmaps/merge-bitmaps.ts';
export { removeBitmaps } from '../operations/bitmaps/remove-bitmaps.ts';
export { removeChosen } from '../operations/bitmaps/remove-chosen.ts';
export { repairDirectory } from '../operations/bitmaps/repair-directory.ts';
export { disableBitmaps, enableBitmaps } from '../operations/bitmaps/set-recording.ts';
export { verifyBitmap } from '../operations/bitmaps/verify-bitmap.ts';
export { carryCheckpoints } from '../operations/checkpoints/carry-checkpoints.ts';
export { checkCheckpoints } from '../operations/checkpoints/check-checkpoints.ts';
export { createCheckpoint } from '../operations/checkpoints/create-checkpoint.ts';
export { repairCheckpoints } from '../operations/checkpoints/repair-checkpoints.ts';
export { checkpointsOfFiles, checkpointsOfImages } from '../operations/checkpoints/write-checkpoint-xml.ts';
export { createFrom } from '../operations/create-from/create-from.ts';
export { measure } from '../operations/create-from/measure.ts';
export { inspectImage } from '../operations/inspect-image.ts';
export { mapAllocation } from '../operations/map-allocation.ts';
export * from '../operations/running/running.ts';
