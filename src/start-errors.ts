/** Names of types or root fields are not valid. It is found out when the schema is built, at the start. */
export class SchemaNamesError extends Error {
  override name = 'SchemaNamesError';
  /** Everything that is wrong, each without a full stop. It names types and fields only. */
  readonly wrong: readonly string[];
  constructor(wrong: readonly string[]) {
    super(`The names of the schema are not valid: ${wrong.join('; ')}.`);
    this.wrong = wrong;
  }
}
