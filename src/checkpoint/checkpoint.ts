/**
 * A checkpoint as libvirt's XML describes it.
 */

export interface Checkpoint {
  readonly name: string;
  readonly parent: string | undefined;
  /** Seconds since 1970. */
  readonly creationTime: number;
  readonly description: string | undefined;
  /** UUID of the domain, if the XML has it. */
  readonly guest: string | undefined;
  readonly disks: readonly CheckpointDisk[];
}

export interface CheckpointDisk {
  /** Its name in the checkpoint: the target, or the path of the source. */
  readonly name: string;
  /** `no`: the checkpoint does not cover this disk. */
  readonly checkpoint: 'bitmap' | 'no';
  /**
   * The name of its bitmap. libvirt uses this name only to delete the bitmap. Otherwise it uses the name of
   * the checkpoint.
   */
  readonly bitmap: string;
  /** For example vda, if the XML has it. */
  readonly target: string | undefined;
  /** Path of the image that was active when the checkpoint was made, if the XML has it. */
  readonly source: string | undefined;
  /**
   * The images below `source` at that time, from the top down, each with its path if it has one. Undefined if
   * the checkpoint does not list all of them.
   */
  readonly backing: readonly (string | undefined)[] | undefined;
}
