/**
 * Text in fields of a fixed or stored length. QEMU reads it as a C string: it ends at the first zero byte.
 */

/** The bytes of the text. */
export function cStringBytes(field: Uint8Array): Uint8Array {
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

/** The text. Bytes that are not UTF-8 become U+FFFD. */
export function cString(field: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(cStringBytes(field));
}
