import { hash } from 'node:crypto';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { OutboundError } from './error.ts';
import type { ClientCertificate } from './index.ts';

/** What one client presents, and whom it trusts. */
export interface TlsIdentity {
  /** Different for clients that must not share connections. */
  readonly id: string;
  /** @throws OutboundError when the certificate or its key cannot be used */
  readonly context: () => SecureContext;
}

/** Returns the identity for requests with a client certificate, or without one. Nothing is decoded before a connection needs it. */
export function tlsIdentity(certificate: ClientCertificate | undefined, trustedAuthorities: string | undefined): TlsIdentity {
  const key = certificate?.privateKey.expose();
  return {
    id: certificate ? hash('sha256', `${certificate.certificates}\0${key}`) : '',
    context() {
      try {
        return createSecureContext({
          ...(trustedAuthorities && { ca: [...rootCertificates, trustedAuthorities] }),
          ...(certificate && { cert: certificate.certificates, key }),
        });
      } catch {
        // The message of OpenSSL can tell of the key.
        throw new OutboundError('TLS_FAILED', true);
      }
    },
  };
}
