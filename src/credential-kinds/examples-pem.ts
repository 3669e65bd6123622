// Keys for examples, demo data and tests only. They are public: never use them to protect anything.

/** A self-signed P-256 certificate for example.invalid, valid until 2126. */
export const exampleCertificate = `-----BEGIN CERTIFICATE-----
MIIBxzCCAW2gAwIBAgIUKPhhgjDbqN3t6hrla5Z+yYyX3o0wCgYIKoZIzj0EAwIw
ODEYMBYGA1UEAwwPZXhhbXBsZS5pbnZhbGlkMRwwGgYDVQQKDBNQdWJsaXNoZWQg
dGhyb3dhd2F5MCAXDTI2MTEyMzAyNTI0OFoYDzIxMjYxMDMwMDI1MjQ4WjA4MRgw
FgYDVQQDDA9leGFtcGxlLmludmFsaWQxHDAaBgNVBAoME1B1Ymxpc2hlZCB0aHJv
d2F3YXkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASKXQYERByG1ZLB4HZKjirk
BTwkNoozUhTbV5LFQv/n5M7fVwbMYP0K1LhCULzhXnMGGq47heH1rBt6wihHBJiY
o1MwUTAdBgNVHQ4EFgQUN/tPF8UODLqxo+P5oo6lCg389YUwHwYDVR0jBBgwFoAU
N/tPF8UODLqxo+P5oo6lCg389YUwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQD
AgNIADBFAiBmd5T1qOBgA52gbFEJQFqVF4aLbU1xLUeXMJaMu1qyMwIhAJupYFwb
E0LFwMup96OV+iy4aj9HPzTGvnTPs6d+6ZSs
-----END CERTIFICATE-----
`;

/** The private key of `exampleCertificate`. */
export const exampleKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQRpgth4tB0Lh0Muk
gmKM7UASSbJSV+IxmOoGo0sgESyhRANCAASKXQYERByG1ZLB4HZKjirkBTwkNooz
UhTbV5LFQv/n5M7fVwbMYP0K1LhCULzhXnMGGq47heH1rBt6wihHBJiY
-----END PRIVATE KEY-----
`;

/** A 2048-bit RSA private key that is used nowhere. */
export const exampleRsaKey = `-----BEGIN PRIVATE KEY-----
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDb2QqBkcD5jV0I
4ql9tfxKawIe6QdFLzG1207xQp2C53lDsj1cqy9r/tYwhVDXuQ6GGPpmtNSCacYM
799g/3T9d6ScIlXopvsWibQIZeMnv84sA3cPkV+2LdKX3PZdBKxvBGmZQAiEGIkR
5JYodAePu4cJbwZRl1tx/quVKK1fvC6dGAxMnrazIZQGMGMzPTEYQ0RwR1IKz5V8
peTlqQJB9gj5+wPkzPgcZcHkr5FNS0SiayXzggCh5acmssRSxNpf9DRnwDAhkPzD
3EGIato4kJtz6fGwnPApRTRMoMsrcFJz1b1TDvKx6qWpwM/B42ZKp6/7sDlrUupe
ZJZSd0kNAgMBAAECggEAK3iNbATkzkOOUZ82CfI17oYdv3xu8FZuYyn4AFsed5+r
GgBwwzXjNNzJQANgcqN4NHpUawIXIillnLHCrvScTrE9ZpUgfRYlgHWemGmDIt05
mHjf7j9d2FFTuq0ZttdhfDs4YTHo7SvH0LatHVciFqDrSOl/65q83XvQtDf8njjj
AVjpY7DkoQ6fvUnGErtjNV1J3QFESDUa6cFtkWVA7gHK7utKg3M7p6w2Blll34s3
Izx2cDRibdlW+V5yreTRlC7sEReEqBqG7ZF3G+ReuxdBrbJKrTZrkP16WhEPRysO
6RrMom5pOTzBip39M2qu5g9uoeAZCQnGAuraBcDzEQKBgQDuxbAJTqv5unQsrS00
KW3MZNPDfdjhbuFRYrlmS7/7I6vvGlBfPirkm1ipFjdJxNM8OVLqqUwwyfANogwi
JXyT5DpuLWcNy0TvYFb0KprN1CmSiblBINYzBSOMF1h5+Ow627Dj0mMDl2dRC6z/
OzO37xacQUObdO2JhaDy9CXqfQKBgQDrtc4AhUTta+c5w8m0Uzw6z3fL2iUfmW3T
mW475udoCoFgcHTTs9lprBwcmm1FgSDOWLxMXWGIMAgdFRD+UToAvP8D/JenXWPz
RVFDmbXSO/lhIbPKkGWNt1M17LRTYritq3XOSDxTOpNlTZcLrerB0QS2y28IqphO
QiosNYyN0QKBgCM+1y9oh4ZDeaamoYeTnfuP3pp61yrfvS7QTeHFyL7/kv+meLq2
aIp6S+oZt2uSPEQlihHNj8ub421/wB7CPdNu2xksZovot3JGXE+KgnNjoAdbgRcW
C8hYN9kUESFgFy7RAxl+EtOS49NYz96VFJtQFZxXHe2youWr7ggu9fHZAoGAAkFM
Bj9AKJFWtfvEi0AcnGdtuvqMTmAWZ+bY4iPUZO9sy3Jn+7qFwvgNkMx9bSPOH4tD
yes+yqHDAhw4fGZkiqtEOVKKVOSU1zf7jg0Da059lUtQQAjfn9p4JlTsaLvSDn9M
cjvIr/cof9idMFRqoY4RYHpTxp5zNJR3eNLOVHECgYAZCJxy3d/Ct9HDh82N8a16
EbbaFfoz9qQzV4eHB8hBwfmCAKN2qBdtXn9jjNCn7qmM9fixQwZjZKnyhEauLroK
0D6V5UCRb+CuGpPFZT9JWm2E4GlM8AJHifH8W61CfaZZ+PCQLK/Kdb2YlOBUJmLR
12+tzGCpdnw/GWAQVXYSqQ==
-----END PRIVATE KEY-----
`;

/** A Google service account key file, in the format of the Google Cloud console, for an account that does not exist. */
export const exampleGcpKey = JSON.stringify({
  type: 'service_account',
  project_id: 'example-project',
  private_key_id: '0123456789abcdef0123456789abcdef01234567',
  private_key: exampleRsaKey,
  client_email: 'gateway@example-project.iam.gserviceaccount.com',
  client_id: '100000000000000000001',
  auth_uri: 'https://accounts.google.com/o/oauth2/auth',
  token_uri: 'https://oauth2.googleapis.com/token',
  auth_provider_x509_cert_url: 'https://www.googleapis.com/oauth2/v1/certs',
  client_x509_cert_url: 'https://www.googleapis.com/robot/v1/metadata/x509/gateway%40example-project.iam.gserviceaccount.com',
});
