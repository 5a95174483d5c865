/**
 * Text as it may stand in XML, between tags or in an attribute.
 */

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  // A parser would read it as the end of a line.
  '\r': '&#13;',
};

/** What is markup is escaped. Of control characters there must be none but the ends of lines. */
export function escapeMarkup(text: string): string {
  return text.replace(/[&<>"'\r]/g, (character) => ENTITIES[character]!);
}
