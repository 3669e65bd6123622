/** Converts a name to its GraphQL enum value: `basicAuth` to `BASIC_AUTH`, `oauth2Token` to `OAUTH2_TOKEN`, `endUser` to `END_USER`. */
export function enumValue(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}
