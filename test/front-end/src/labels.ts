/** Words that are not written as in a name of the API. */
const terms: Record<string, string> = {
  api: 'API',
  aws: 'AWS',
  base64: 'in base64',
  gcp: 'Google Cloud',
  http: 'HTTP',
  id: 'ID',
  json: 'JSON',
  jwt: 'JWT',
  mongodb: 'MongoDB',
  mtls: 'mutual TLS',
  oauth2: 'OAuth 2.0',
  sid: 'SID',
  sql: 'SQL',
  ssl: 'SSL',
  uri: 'URI',
  url: 'URL',
};

/** A label for a name of the API: `accessKeyId` becomes `Access key ID`, `BASIC_AUTH` becomes `Basic auth`. */
export function labelOf(name: string): string {
  const words = name.split(/[_.]|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/).map((word) => word.toLowerCase());
  const text = words.map((word) => terms[word] ?? word).join(' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
