import { apiKey } from './api-key.ts';
import { aws } from './aws.ts';
import { azure } from './azure.ts';
import { basicAuth } from './basic-auth.ts';
import { bearerToken } from './bearer-token.ts';
import { binary } from './binary.ts';
import { certificate } from './certificate.ts';
import { certificateKeyPair } from './certificate-key-pair.ts';
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

/** The built-in credential kinds: first the general ones, then those of one service. To add one, add a file to this directory and a line here. */
export const builtInKinds: readonly CredentialKind[] = [
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
