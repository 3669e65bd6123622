/** A PEM block (RFC 7468), or one of OpenSSH's own format, with any white space between its parts. */
const block = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----/g;
/** The characters of a line: 64 in PEM (RFC 7468, section 2), 70 as OpenSSH writes its own format. */
const LINE = 64;
const OPENSSH_LINE = 70;
const OPENSSH_LABEL = 'OPENSSH PRIVATE KEY';

/**
 * Returns keys or certificates in the form in which programs write them: lines of equal length that end in LF, also the last one. Many
 * programs read no other. Only white space changes. A text with anything else in it is returned unchanged.
 */
export function standardArmor(text: string): string {
  const blocks = [...text.matchAll(block)];
  if (blocks.length === 0 || text.replace(block, '').trim() !== '') return text;
  return blocks.map(([, label, body]) => armored(label!, body!)).join('');
}

/** Returns a block in that form. `body` is base64, with any white space. */
export function armored(label: string, body: string): string {
  const length = label === OPENSSH_LABEL ? OPENSSH_LINE : LINE;
  const lines = body.replace(/\s/g, '').match(new RegExp(`.{1,${length}}`, 'g')) ?? [];
  return `${[`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`].join('\n')}\n`;
}

/** Whether the text has the line breaks of the standard form. LF or CR LF, and a missing last one, make no difference to OpenSSL. */
export function hasArmorLines(text: string): boolean {
  return `${text.replaceAll('\r\n', '\n').trimEnd()}\n` === standardArmor(text);
}
