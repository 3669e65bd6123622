import { secret, text } from '../fields/field.ts';
import { certificateFacts, certificateInternalFacts, deriveCertificateFacts } from './certificate-facts.ts';
import { defineCredentialKind } from './define.ts';
import { exampleCertificate, exampleKey } from './examples-pem.ts';

export const certificate = defineCredentialKind({
  kind: 'certificate',
  typeName: 'CertificateCredential',
  description:
    'A certificate, its key and the authority to trust, for TLS client authentication. Without an authority of its own: CertificateKeyPairCredential.',
  fields: {
    certificate: text({
      description: 'Readable. The client’s certificate in PEM; intermediate ones may follow it. Never put the key here too.',
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
        'Readable. The authorities in PEM against which the server’s certificate is checked; not the client’s own issuer, unless they are the same.',
      maxLength: 65_536,
      format: 'pemCertificates',
      example: exampleCertificate,
      invalidExample: 'Example CA',
    }),
  },
  facts: certificateFacts,
  internalFacts: certificateInternalFacts,
  derive: ({ settings, secrets, facts }) => deriveCertificateFacts(settings.certificate, secrets.key, facts),
});
