/** The `typ` of the tokens that the gateway makes for end users, by which they are told from the issuer's before anything is verified. */
export const END_USER_TOKEN_TYPE = 'end-user+jwt';
