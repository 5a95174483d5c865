/**
 * Ora, in a file of its own once built: it is large, and shown only where work takes long at a terminal.
 */
export { default as ora } from 'ora';
