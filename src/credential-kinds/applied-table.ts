import type { Application, NotApplied, Way } from './apply.ts';
import type { CredentialKind } from './define.ts';

/** Returns the table of the README that says how credentials of each kind are applied to requests, as lines of Markdown. */
export function appliedTable(kinds: readonly CredentialKind[]): string {
  const rows = kinds.flatMap(({ kind, apply, storedAs }) => {
    if (storedAs || !apply) return [];
    const ways =
      'by' in apply
        ? Object.entries(apply.each).map(([value, way]) => [`\`${kind}\`, ${value}`, way] as const)
        : [[`\`${kind}\``, apply] as const];
    return ways.map(([name, way]: readonly [string, Way]) => {
      const schemes = Object.keys(way.schemes ?? {}).map((scheme) => `\`${scheme}\``);
      return `| ${name} | ${shown(way.alone)} | ${schemes.join(', ') || '–'} |`;
    });
  });
  return ['| kind | without an auth scheme | auth schemes that it fits |', '|---|---|---|', ...rows].join('\n');
}

function shown(alone: Application | NotApplied): string {
  if ('not' in alone) {
    if (alone.not === 'WITHOUT_SCHEME') return 'needs an auth scheme';
    return alone.not === 'SUPPORTED' ? `not applied: it is for ${alone.purpose}` : `not for requests: it is for ${alone.purpose}`;
  }
  switch (alone.put) {
    case 'NOTHING':
      return 'adds nothing';
    case 'HEADER':
      return `header \`${plainly(alone.name)}: ${alone.value}\`${alone.name.includes('|') ? ' (by default, Authorization)' : ''}`;
    case 'QUERY':
      return `query parameter \`${alone.name}=${alone.value}\``;
    case 'COOKIE':
      return `cookie \`${alone.name}=${alone.value}\``;
    case 'BASIC':
      return `Basic authentication, \`${plainly(alone.user)}:${plainly(alone.password)}\``;
    case 'PATH':
      return `replaces the segment \`${alone.placeholder}\` of the path`;
    case 'CLIENT_CERTIFICATE':
      return 'TLS client certificate';
    case 'TOKEN':
      return 'access token in `Authorization`';
    case 'JWT':
      return 'a JWT for the request in `Authorization`';
    case 'AWS_SIGNATURE':
      return 'AWS Signature Version 4';
    case 'AZURE_SHARED_KEY':
      return 'Shared Key of Azure Storage';
    case 'SNOWFLAKE_TOKEN':
      return 'a JWT of Snowflake’s key pair authentication';
    case 'HMAC':
      return `an HMAC of the request in \`${alone.parts.name}\``;
  }
}

/** A template without defaults: a bar would end the cell of a table. */
function plainly(template: string): string {
  return template.replace(/\|[^}]*/g, '');
}
