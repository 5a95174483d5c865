/**
 * Text of the man page that does not come from the command tree.
 */

export const INTRODUCTION: readonly string[] = [
  'Incremental backup of virtual machines rests on dirty bitmaps inside qcow2 images: one for each libvirt checkpoint, in every image of the backing chain of a disk since that checkpoint. When a chain is extended outside QEMU, the overlay has no bitmaps, and the next backup has to be a full one. But what was written since is what the overlay itself holds: its allocation map is the missing bitmap. This tool reads the tables of an image and stores that, as a bitmap that QEMU and libvirt take as their own.',
  'It works on images at rest and needs no QEMU. Images are named by a path to a regular file or a block device, or as file:... or json:{...} with driver qcow2 or raw over file or host_device. Bitmaps can be stored in qcow2 images of version 3.',
  'Where a bitmap is read, #ALLOCATED stands for what the image itself holds; quote it in a shell.',
];

export const EXIT_STATUS: readonly (readonly [code: string, meaning: string])[] = [
  ['0', 'Done; or checked and healthy.'],
  [
    '1',
    'Failed: an I/O error, no space, no such file, a bug. On disk is what was before, or a complete new state and perhaps leaked clusters; the message says which.',
  ],
  ['2', 'The command line is wrong. Nothing was written.'],
  [
    '3',
    'A check found problems, and nothing was written; or the work was done, and something was left that is not in order.',
  ],
  [
    '4',
    'Refused: the image or chain is in a state in which this cannot be done safely. Nothing was written.',
  ],
  ['5', 'The image is in use by another process. Nothing was written.'],
  [
    '129, 130, 143',
    'Interrupted by SIGHUP, SIGINT or SIGTERM: before the first write, or once the change was complete.',
  ],
];

export const FILES: readonly (readonly [name: string, text: string])[] = [
  [
    '.bitmap-tool-PID-....tmp',
    'A new image (create-from --into) or file of XML (checkpoint-create --output) is written under such a name in the same folder, and gets its own name once it is complete; never that of a file that is there. Only a killed process leaves it behind: remove it.',
  ],
  [
    'picture.svg',
    'A picture is first written to a temporary file in the same folder. An existing file is replaced only if it is an SVG picture; otherwise the command refuses.',
  ],
];

export const LOCKS: readonly string[] = [
  "The locks are QEMU's own: open file description locks (fcntl) on bytes of the image file that stand for permissions. They are taken on the image and on the backing images that the result depends on, and released when the command ends, however it ends. An image that a guest is running on is refused, and QEMU refuses an image that is being written.",
  'With --force-share (-U) an image in use is read all the same; what is read may be stale. On platforms and file systems without such locks work is refused unless --no-lock is given: then nothing keeps a guest from being started in between.',
];

export const WHEN_RIGHT: readonly string[] = [
  'A bitmap made of an allocation map marks what was written since the overlay was put on. That needs the images below not to have been written or exchanged since, which no tool can see.',
];

export const SEE_ALSO: readonly string[] = ['qemu-img', 'virsh', 'nbdinfo'];
