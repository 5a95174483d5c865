/**
 * Ora. The build puts it in a separate file because it is large. Only long work at a terminal needs it.
 */
export { default as ora } from 'ora';
