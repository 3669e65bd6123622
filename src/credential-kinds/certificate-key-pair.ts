import { secret, text } from '../fields/field.ts';
import { certificateFacts, certificateInternalFacts, deriveCertificateFacts } from './certificate-facts.ts';
import { defineCredentialKind } from './define.ts';
import { exampleCertificate, exampleKey } from './examples-pem.ts';

export const certificateKeyPair = defineCredentialKind({
  kind: 'certificateKeyPair',
  typeName: 'CertificateKeyPairCredential',
  description:
    'A certificate and its private key, for TLS client authentication or signing. To include a certificate authority, use CertificateCredential.',
  apply: {
    alone: { put: 'CLIENT_CERTIFICATE', certificate: '{certificate}', privateKey: '{privateKey}' },
    schemes: { CERTIFICATE: true },
  },
  fields: {
    certificate: text({
      description: 'Not secret. The certificate in PEM; intermediate certificates may follow. Must not contain the private key.',
      maxLength: 32_768,
      format: 'pemCertificates',
      example: exampleCertificate,
      invalidExample: exampleCertificate + exampleKey,
    }),
    privateKey: secret({
      description: 'The private key of the certificate, in PEM, without a passphrase.',
      maxLength: 16_384,
      format: 'pemPrivateKey',
      example: exampleKey,
      invalidExample: exampleCertificate,
    }),
  },
  facts: certificateFacts,
  internalFacts: certificateInternalFacts,
  derive: ({ settings, secrets, facts }, keyFiles) => deriveCertificateFacts(settings.certificate, secrets.privateKey, facts, keyFiles),
});
