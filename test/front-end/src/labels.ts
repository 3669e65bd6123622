/** What is no English word in camel case. */
const terms: Record<string, string> = {
  ...{ api: 'API', aws: 'AWS', gcp: 'Google Cloud', http: 'HTTP', jwt: 'JWT', sql: 'SQL', url: 'URL', uri: 'URI', ssl: 'SSL', ca: 'CA' },
  ...{ oauth2: 'OAuth 2.0', mtls: 'mutual TLS', id: 'ID', sid: 'SID', json: 'JSON', base64: '(base64)' },
  ...{ sendgrid: 'SendGrid', whatsapp: 'WhatsApp', mongodb: 'MongoDB' },
};

/** A label for a name of the API: `accessKeyId` becomes `Access key ID`, `BASIC_AUTH` becomes `Basic auth`. */
export function labelOf(name: string): string {
  const words = (/[a-z]/.test(name) ? name.replace(/[A-Z]|(?<=[a-z])(?=base64)|Base64/g, ' $&') : name.replaceAll('_', ' '))
    .toLowerCase()
    .trim()
    .split(/\s+/);
  const text = words.map((word) => terms[word] ?? word).join(' ');
  return text[0]!.toUpperCase() + text.slice(1);
}
