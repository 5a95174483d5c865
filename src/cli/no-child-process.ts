/**
 * Stands for node:child_process in the program, which starts no other: loading that would take longer than `list` does.
 */
export {};
