/** Text from outside for a message: one line, without control characters (a terminal would obey them), not too long. */
export function plainText(text: string, maxLength = 300): string {
  return text
    .replace(/[\s\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
    .trim()
    .slice(0, maxLength);
}
