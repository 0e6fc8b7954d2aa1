/** Text from servers, visitors and pushers without what could steer a terminal; line breaks and tabs stay. */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, "�");
}
