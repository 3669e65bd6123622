import { secret, text } from '../fields/field.ts';
import { certificateFacts, certificateInternalFacts, deriveCertificateFacts } from './certificate-facts.ts';
import { defineCredentialKind } from './define.ts';
import { exampleCertificate, exampleKey } from './examples-pem.ts';

export const certificate = defineCredentialKind({
  kind: 'certificate',
  typeName: 'CertificateCredential',
  description:
    'A certificate, its private key and the authorities to trust, for TLS client authentication. Without authorities, use CertificateKeyPairCredential.',
  apply: {
    alone: { put: 'CLIENT_CERTIFICATE', certificate: '{certificate}', privateKey: '{key}' },
    schemes: { CERTIFICATE: true },
  },
  fields: {
    certificate: text({
      description: 'Not secret. The client certificate in PEM; intermediate certificates may follow. Must not contain the private key.',
      maxLength: 32_768,
      format: 'pemCertificates',
      example: exampleCertificate,
      invalidExample: exampleCertificate + exampleKey,
    }),
    key: secret({
      description: 'The private key of the certificate, in PEM, without a passphrase.',
      maxLength: 16_384,
      format: 'pemPrivateKey',
      example: exampleKey,
      invalidExample: exampleCertificate,
    }),
    ca: text({
      description:
        'Not secret. The certificate authorities, in PEM, that are trusted to sign the server’s certificate by whoever opens the connection with this credential. They need not be the issuer of the client certificate. The gateway does not use them: for its own requests, it trusts the authorities that Node.js trusts.',
      maxLength: 65_536,
      format: 'pemCertificates',
      example: exampleCertificate,
      invalidExample: 'Example CA',
    }),
  },
  facts: certificateFacts,
  internalFacts: certificateInternalFacts,
  derive: ({ settings, secrets, facts }, keyFiles) => deriveCertificateFacts(settings.certificate, secrets.key, facts, keyFiles),
});
