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
  InUseError,
  type RefusalCode,
  RefusedError,
  UsageError,
} from './errors.ts';
export type { MapExtent } from './guest/allocation/map-columns.ts';
export type { Progress } from './image/progress.ts';
export type { Problem, ProblemCode } from './inspection/problem.ts';
export {
  addBitmaps,
  addRunning,
  applyBitmapActions,
  carryCheckpoints,
  checkCheckpoints,
  checkDomain,
  checkpointsOfFiles,
  checkpointsOfImages,
  checkRunning,
  clearBitmaps,
  clearRunning,
  createCheckpoint,
  createFrom,
  createFromRunning,
  disableBitmaps,
  disableRunning,
  dumpBitmap,
  dumpRunning,
  enableBitmaps,
  enableRunning,
  imageOfDomain,
  inspectImage,
  listBitmaps,
  listRunning,
  mapAllocation,
  measure,
  mergeBitmaps,
  mergeRunning,
  openDomain,
  openQemu,
  removeBitmaps,
  removeChosen,
  removeRunning,
  repairCheckpoints,
  repairDirectory,
  repairDomain,
  repairRunning,
  verifyBitmap,
} from './library/functions.ts';
export type { AddOptions } from './operations/bitmaps/add-bitmaps.ts';
export type { BitmapAction, BitmapActionOptions } from './operations/bitmaps/bitmap-actions.ts';
export type { BitmapChoice } from './operations/bitmaps/choose-bitmaps.ts';
export type { BitmapDump, DumpColumns, DumpExtent, DumpOptions } from './operations/bitmaps/dump-bitmap.ts';
export type { BitmapList, ListedBitmap, ListedImage } from './operations/bitmaps/list-bitmaps.ts';
export type { NamedBitmaps } from './operations/bitmaps/named-bitmaps.ts';
export type { RemovedBitmaps, RemovedFromImage, RemoveOptions } from './operations/bitmaps/remove-chosen.ts';
export type { DirectoryBitmap, DirectoryRepairResult } from './operations/bitmaps/repair-directory.ts';
export type { BitmapVerdict } from './operations/bitmaps/verify-bitmap.ts';
export type { ChangeOptions, EditResult, PlanReport } from './operations/change-bitmaps.ts';
export type { CarriedBitmap, CarryOptions, CarryResult } from './operations/checkpoints/carry-checkpoints.ts';
export type { CheckOptions, CheckResult } from './operations/checkpoints/check-checkpoints.ts';
export type {
  CheckedBitmap,
  CheckedCheckpoint,
  CheckedDisk,
  CheckedImage,
} from './operations/checkpoints/check-disk.ts';
export type {
  CheckpointedDisk,
  CreateCheckpointOptions,
  CreateCheckpointResult,
} from './operations/checkpoints/create-checkpoint.ts';
export type {
  RepairedDisk,
  RepairedImage,
  RepairOptions,
  RepairResult,
} from './operations/checkpoints/repair-result.ts';
export type {
  CheckpointDocument,
  CheckpointDocuments,
  CheckpointsOfImagesOptions,
} from './operations/checkpoints/write-checkpoint-xml.ts';
export type { IfExists } from './operations/create-from/choose-targets.ts';
export type {
  CreatedBitmap,
  CreateFromOptions,
  CreateFromResult,
  KeptBitmap,
} from './operations/create-from/create-from-result.ts';
export type { ComparedImage } from './operations/create-from/mark-differences.ts';
export type { MeasureResult } from './operations/create-from/measure.ts';
export type { BitmapSource } from './operations/create-from/sources.ts';
export type { ImagePart, InspectOptions, StoredImage } from './operations/inspect-image.ts';
export type { MapOptions, MappedImage } from './operations/map-allocation.ts';
export type { OperationOptions } from './operations/options.ts';
export type { Domain, DomainAddress } from './operations/running/open-domain.ts';
export type { QemuAddress } from './operations/running/open-qemu.ts';
export type { DomainReport, RunningQemu } from './operations/running/running.ts';
export type { BitmapFate } from './plan/mended-directory.ts';
export type { Consent, OnWarning, Remedy, RepairCall } from './remedy.ts';
