/** One attribute of a distinguished name: the short name of its type, or the object identifier, and its value. */
interface Attribute {
  readonly type: string;
  readonly value: string;
}

/** Control characters and others that would hide or reorder what is shown. */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Reads a distinguished name as OpenSSL prints it: each relative distinguished name on a line, its attributes separated by ` + `, and values
 * with the escapes of RFC 2253 (section 2.4). Returns the attributes of each relative distinguished name, without escapes.
 */
export function readDistinguishedName(printed: string): readonly (readonly Attribute[])[] {
  return printed.split('\n').map((line) =>
    // A plus in a value is escaped.
    line.split(/(?<!\\) \+ (?=[A-Za-z0-9.]+=)/).map((attribute) => {
      const at = attribute.indexOf('=');
      return { type: attribute.slice(0, at), value: withoutEscapes(attribute.slice(at + 1)) };
    }),
  );
}

/** Returns a distinguished name for people: the most specific part last, and quotation marks around a value with a separator in it. */
export function showDistinguishedName(name: readonly (readonly Attribute[])[]): string {
  const show = ({ type, value }: Attribute) => `${type}=${/[,+="]|^ | $/.test(value) ? `"${value.replaceAll('"', '""')}"` : value}`;
  return name.map((attributes) => attributes.map(show).join(' + ')).join(', ');
}

/** Removes escapes: a backslash and a character, or the two hexadecimal digits of a byte of UTF-8. */
function withoutEscapes(value: string): string {
  const text = value.replace(/(?:\\[0-9A-Fa-f]{2})+|\\(.)/g, (escaped, character?: string) =>
    character === undefined ? Buffer.from(escaped.replaceAll('\\', ''), 'hex').toString() : character,
  );
  return text.replace(hidden, '\ufffd');
}
