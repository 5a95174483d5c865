/**
 * Makes text from an image safe for a terminal or a log: the result has no control characters or line breaks.
 */

const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Whether the text is safe as it is. */
export function isPrintable(text: string): boolean {
  return text.search(UNSAFE) < 0;
}

/**
 * Replaces control characters, line separators and bidirectional formatting characters with \xNN or \uNNNN.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`;
  });
}

/** A JSON document with the same characters escaped. JSON itself allows most of them. */
export function printableJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(UNSAFE, (character) =>
    // JSON already escapes line breaks in strings: this one belongs to the document.
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
