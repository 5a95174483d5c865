/**
 * Execa, in a file of its own once built: only guests by name and the job in a running QEMU start other programs.
 */
export { execa } from 'execa';
