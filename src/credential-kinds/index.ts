import { apiKey } from './api-key.ts';
import { aws } from './aws.ts';
import { azure } from './azure.ts';
import { basicAuth } from './basic-auth.ts';
import { bearerToken } from './bearer-token.ts';
import { binary } from './binary.ts';
import { certificate } from './certificate.ts';
import { certificateKeyPair } from './certificate-key-pair.ts';
import { assertConsistent } from './consistency.ts';
import { customFunction } from './custom-function.ts';
import { datadog } from './datadog.ts';
import type { CredentialKind } from './define.ts';
import { gcp } from './gcp.ts';
import { git } from './git.ts';
import { http } from './http.ts';
import { jwt } from './jwt.ts';
import { jwtBearer } from './jwt-bearer.ts';
import { loggly } from './loggly.ts';
import { mailgun } from './mailgun.ts';
import { mongodb } from './mongodb.ts';
import { none } from './none.ts';
import { oauth2Client } from './oauth2-client.ts';
import { oauth2Code } from './oauth2-code.ts';
import { oauth2Password } from './oauth2-password.ts';
import { oauth2Token } from './oauth2-token.ts';
import { sendgrid } from './sendgrid.ts';
import { snowflake } from './snowflake.ts';
import { sql } from './sql.ts';
import { string } from './string.ts';
import { twilio } from './twilio.ts';
import { whatsapp } from './whatsapp.ts';

/** All credential kinds: first the general ones, then those of one service. To add one, add a file to this directory and a line here. */
export const credentialKinds: readonly CredentialKind[] = [
  none,
  string,
  binary,
  basicAuth,
  apiKey,
  bearerToken,
  oauth2Client,
  oauth2Code,
  oauth2Password,
  oauth2Token,
  jwtBearer,
  jwt,
  certificate,
  certificateKeyPair,
  customFunction,
  http,
  aws,
  azure,
  gcp,
  sql,
  mongodb,
  snowflake,
  git,
  sendgrid,
  mailgun,
  twilio,
  whatsapp,
  loggly,
  datadog,
];

assertConsistent(credentialKinds);

const byKind = new Map(credentialKinds.map((kind) => [kind.kind, kind]));

/** The kinds that a stored credential can have: all except those that are for input only. */
export const readableKinds: readonly CredentialKind[] = credentialKinds.filter((kind) => !kind.storedAs);

/** Returns the kind with that name. Look it up once and pass the kind on. */
export function kindOf(kind: string): CredentialKind | undefined {
  return byKind.get(kind);
}

/**
 * Returns whether a setting can be null when it is read: it can if it is optional in any readable kind, because fields with the same name
 * have the same type in all kinds. Lists and secrets are never null: an unset list is empty, and an unset secret has `isSet: false`.
 *
 * @throws Error when no readable kind has this field
 */
export function isNullable(fieldName: string): boolean {
  const fields = readableKinds.flatMap((kind) => kind.fields[fieldName] ?? []);
  if (fields.length === 0) throw new Error(`No readable credential kind has a field ${fieldName}.`);
  return fields.some((field) => field.optional && !field.secret && field.type !== 'StringList');
}
