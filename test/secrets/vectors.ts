// Published examples, as the RFCs print them.

const bytes = (base64url: string) => new Uint8Array(Buffer.from(base64url, 'base64url'));

/** RFC 7516, appendix A.1: content encryption with A256GCM. The content encryption key is the appendix's own (A.1.2). */
export const rfc7516A1 = {
  plaintext: 'The true sign of intelligence is not knowledge but imagination.',
  contentEncryptionKey: new Uint8Array([
    177, 161, 244, 128, 84, 143, 225, 115, 63, 180, 3, 255, 107, 154, 212, 246, 138, 7, 110, 91, 112, 46, 34, 105, 47, 130, 203, 46, 122,
    234, 64, 252,
  ]),
  /** Without the encrypted key, which is for RSA. */
  jwe: [
    'eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ',
    '',
    '48V1_ALb6US04U3b',
    '5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A',
    'XFBoMYUZodetZdvTiFvSkQ',
  ].join('.'),
};

/** RFC 7520, section 5.6: direct encryption using AES-GCM, `dir` and A128GCM. */
export const rfc7520Section56 = {
  kid: '77c7e2b8-6e13-45cf-8672-617b5b45243a',
  key: bytes('XctOhJAkA-pD9Lh7ZgW_2A'),
  jwe: [
    'eyJhbGciOiJkaXIiLCJraWQiOiI3N2M3ZTJiOC02ZTEzLTQ1Y2YtODY3Mi02MTdiNWI0NTI0M2EiLCJlbmMiOiJBMTI4R0NNIn0',
    '',
    'refa467QzzKx6QAB',
    'JW_i_f52hww_ELQPGaYyeAB6HYGcR559l9TYnSovc23XJoBcW29rHP8yZOZG7YhLpT1bjFuvZPjQS-m0IFtVcXkZXdH_lr_FrdYt9HRUYkshtrMmIUAyGmUnd9zMDB2n0cRDIHAzFVeJUDxkUwVAE7_YGRPdcqMyiBoCO-FBdE-Nceb4h3-FtBP-c_BIwCPTjb9o0SbdcdREEMJMyZBH8ySWMVi1gPD9yxi-aQpGbSv_F9N4IZAxscj5g-NJsUPbjk29-s7LJAGb15wEBtXphVCgyy53CoIKLHHeJHXex45Uz9aKZSRSInZI-wjsY0yu3cT4_aQ3i1o-tiE-F8Os61EKgyIQ4CWao8PFMj8TTnp',
    'vbb32Xvllea2OtmHAdccRQ',
  ].join('.'),
};

/** RFC 7520, section 5.7: key wrap using AES-GCM, A256GCMKW. */
export const rfc7520Section57 = {
  masterKey: bytes('qC57l_uxcm7Nm3K-ct4GFjx8tM1U8CZ0NLBvdQstiS8'),
  contentEncryptionKey: bytes('UWxARpat23nL9ReIj4WG3D1ee9I4r-Mv5QLuFXdy_rE'),
  encryptedKey: bytes('lJf3HbOApxMEBkCMOoTnnABxs_CvTWUmZQ2ElLvYNok'),
  iv: bytes('KkYT0GX_2jHlfqN_'),
  tag: bytes('kfPduVQ3T3H6vnewt--ksw'),
};
