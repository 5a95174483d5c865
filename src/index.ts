/**
 * The library. It has one function for each operation of the tool. It prints nothing and does not change the
 * process.
 */

export type { ImageReference } from './chain/reference.ts';
export type { CheckpointFiles } from './checkpoint/known/known-checkpoints.ts';
export { ALLOCATED } from './checkpoint/names.ts';
export type { RepairedBitmap } from './checkpoint/repair/image-repair.ts';
export type { CheckpointProblem } from './checkpoint/verdict/verdict.ts';
export {
  BitmapToolError,
  FailedError,
  InterruptedError,
  InUseError,
  type RefusalCode,
  RefusedError,
  UsageError,
} from './errors.ts';
export type { MapExtent } from './guest/allocation/map-columns.ts';
export type { Progress } from './image/progress.ts';
export type { Problem, ProblemCode } from './inspection/problem.ts';
export { type AddOptions, addBitmaps } from './operations/bitmaps/add-bitmaps.ts';
export {
  applyBitmapActions,
  type BitmapAction,
  type BitmapActionOptions,
} from './operations/bitmaps/bitmap-actions.ts';
export type { BitmapChoice } from './operations/bitmaps/choose-bitmaps.ts';
export { clearBitmaps } from './operations/bitmaps/clear-bitmaps.ts';
export {
  type BitmapDump,
  type DumpColumns,
  type DumpExtent,
  type DumpOptions,
  dumpBitmap,
} from './operations/bitmaps/dump-bitmap.ts';
export {
  type BitmapList,
  type ListedBitmap,
  type ListedImage,
  listBitmaps,
} from './operations/bitmaps/list-bitmaps.ts';
export { mergeBitmaps } from './operations/bitmaps/merge-bitmaps.ts';
export type { NamedBitmaps } from './operations/bitmaps/named-bitmaps.ts';
export { removeBitmaps } from './operations/bitmaps/remove-bitmaps.ts';
export {
  type RemovedBitmaps,
  type RemovedFromImage,
  type RemoveOptions,
  removeChosen,
} from './operations/bitmaps/remove-chosen.ts';
export {
  type DirectoryBitmap,
  type DirectoryRepairResult,
  repairDirectory,
} from './operations/bitmaps/repair-directory.ts';
export { disableBitmaps, enableBitmaps } from './operations/bitmaps/set-recording.ts';
export { type BitmapVerdict, verifyBitmap } from './operations/bitmaps/verify-bitmap.ts';
export type { ChangeOptions, EditResult, PlanReport } from './operations/change-bitmaps.ts';
export {
  type CarriedBitmap,
  type CarryOptions,
  type CarryResult,
  carryCheckpoints,
} from './operations/checkpoints/carry-checkpoints.ts';
export {
  type CheckOptions,
  type CheckResult,
  checkCheckpoints,
} from './operations/checkpoints/check-checkpoints.ts';
export type {
  CheckedBitmap,
  CheckedCheckpoint,
  CheckedDisk,
  CheckedImage,
} from './operations/checkpoints/check-disk.ts';
export {
  type CheckpointedDisk,
  type CreateCheckpointOptions,
  type CreateCheckpointResult,
  createCheckpoint,
} from './operations/checkpoints/create-checkpoint.ts';
export { repairCheckpoints } from './operations/checkpoints/repair-checkpoints.ts';
export type {
  RepairedDisk,
  RepairedImage,
  RepairOptions,
  RepairResult,
} from './operations/checkpoints/repair-result.ts';
export {
  type CheckpointDocument,
  type CheckpointDocuments,
  type CheckpointsOfImagesOptions,
  checkpointsOfFiles,
  checkpointsOfImages,
} from './operations/checkpoints/write-checkpoint-xml.ts';
export type { IfExists } from './operations/create-from/choose-targets.ts';
export { createFrom } from './operations/create-from/create-from.ts';
export type {
  CreatedBitmap,
  CreateFromOptions,
  CreateFromResult,
  KeptBitmap,
} from './operations/create-from/create-from-result.ts';
export type { ComparedImage } from './operations/create-from/mark-differences.ts';
export { type MeasureResult, measure } from './operations/create-from/measure.ts';
export type { BitmapSource } from './operations/create-from/sources.ts';
export {
  type ImagePart,
  type InspectOptions,
  inspectImage,
  type StoredImage,
} from './operations/inspect-image.ts';
export { type MapOptions, type MappedImage, mapAllocation } from './operations/map-allocation.ts';
export type { OperationOptions } from './operations/options.ts';
export type { Domain, DomainAddress } from './operations/running/open-domain.ts';
export type { QemuAddress } from './operations/running/open-qemu.ts';
export {
  addRunning,
  checkDomain,
  checkRunning,
  clearRunning,
  createFromRunning,
  type DomainReport,
  disableRunning,
  dumpRunning,
  enableRunning,
  imageOfDomain,
  listRunning,
  mergeRunning,
  openDomain,
  openQemu,
  type RunningQemu,
  removeRunning,
  repairDomain,
  repairRunning,
} from './operations/running/running.ts';
export type { BitmapFate } from './plan/mended-directory.ts';
export type { Consent, OnWarning, Remedy, RepairCall } from './remedy.ts';
