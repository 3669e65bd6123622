import { createRequire } from 'node:module';

/** A setting needs a package that is not installed: an optional peer dependency of this one. */
export class MissingPackageError extends Error {
  override name = 'MissingPackageError';
  /** Stable, and meant for programs. */
  readonly code = 'MISSING_PACKAGE';
  /** The package to install. */
  readonly packageName: string;
  constructor(packageName: string, purpose: string) {
    super(`${purpose} needs the package ${packageName}, which is not installed. Run: npm install ${packageName}`);
    this.packageName = packageName;
  }
}

/** Finds out whether the package is installed that has GraphiQL. @throws MissingPackageError when it is not */
export function requireGraphiql(): void {
  requirePackage('@graphql-yoga/render-graphiql', 'GraphiQL', '/graphiql');
}

/** Finds out whether an optional package is installed, without loading it. @throws MissingPackageError when it is not */
export function requirePackage(packageName: string, purpose: string, subpath = ''): void {
  try {
    createRequire(import.meta.url).resolve(packageName + subpath);
  } catch {
    throw new MissingPackageError(packageName, purpose);
  }
}
