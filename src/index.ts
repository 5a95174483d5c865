/**
 * The library: one function for each operation of the tool. It prints nothing and never touches the process.
 */
export type { MapExtent } from './allocation/chain-map.ts';
export type { ImageReference } from './chain/reference.ts';
export type { CheckpointFiles } from './checkpoint/known-checkpoints.ts';
export { ALLOCATED } from './checkpoint/names.ts';
export type { RepairedBitmap } from './checkpoint/plan-image-repair.ts';
export type { CheckpointProblem } from './checkpoint/verdict.ts';
export {
  BitmapToolError,
  FailedError,
  InterruptedError,
  InUseError,
  type RefusalCode,
  RefusedError,
  UsageError,
} from './errors.ts';
export type { Progress } from './image/table-progress.ts';
export type { BitmapFate } from './inspection/mended-directory.ts';
export type { Problem, ProblemCode } from './inspection/problem.ts';
export { type AddOptions, addBitmaps } from './operations/add-bitmaps.ts';
export {
  applyBitmapActions,
  type BitmapAction,
  type BitmapActionOptions,
} from './operations/bitmap-actions.ts';
export type { ChangeOptions, EditResult, PlanReport } from './operations/change-bitmaps.ts';
export {
  type CheckedBitmap,
  type CheckedCheckpoint,
  type CheckedDisk,
  type CheckedImage,
  type CheckOptions,
  type CheckResult,
  checkCheckpoints,
} from './operations/check-checkpoints.ts';
export type { IfExists } from './operations/choose-targets.ts';
export { clearBitmaps } from './operations/clear-bitmaps.ts';
export {
  type CreatedBitmap,
  type CreateFromOptions,
  type CreateFromResult,
  createFrom,
  type KeptBitmap,
} from './operations/create-from.ts';
export { type BitmapDump, type DumpExtent, type DumpOptions, dumpBitmap } from './operations/dump-bitmap.ts';
export {
  type BitmapList,
  type ListedBitmap,
  type ListedImage,
  listBitmaps,
} from './operations/list-bitmaps.ts';
export { type MapOptions, type MappedImage, mapAllocation } from './operations/map-allocation.ts';
export type { ComparedImage } from './operations/mark-differences.ts';
export { type MeasureResult, measure } from './operations/measure.ts';
export { mergeBitmaps } from './operations/merge-bitmaps.ts';
export type { NamedBitmaps } from './operations/named-bitmaps.ts';
export type { OperationOptions } from './operations/options.ts';
export { removeBitmaps } from './operations/remove-bitmaps.ts';
export {
  type RepairedDisk,
  type RepairedImage,
  type RepairOptions,
  type RepairResult,
  repairCheckpoints,
} from './operations/repair-checkpoints.ts';
export {
  type DirectoryBitmap,
  type DirectoryRepairResult,
  repairDirectory,
} from './operations/repair-directory.ts';
export { disableBitmaps, enableBitmaps } from './operations/set-recording.ts';
export type { BitmapSource } from './operations/sources.ts';
export { type BitmapVerdict, verifyBitmap } from './operations/verify-bitmap.ts';
export {
  type CheckpointDocument,
  type CheckpointDocuments,
  type CheckpointsOfImagesOptions,
  checkpointsOfFiles,
  checkpointsOfImages,
} from './operations/write-checkpoint-xml.ts';
