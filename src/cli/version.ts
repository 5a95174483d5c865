/**
 * The version of the package, put in place when it is built.
 */
declare const BITMAP_TOOL_VERSION: string;

export const version: string = BITMAP_TOOL_VERSION;
