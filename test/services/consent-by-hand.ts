/** Follows redirects with cookies, as a browser does, and answers each page of the issuer with the form on it. Returns the redirect elsewhere. */
export async function consent(issuer: string, authorizationUrl: string, answer: 'consent' | 'abort'): Promise<URL> {
  const cookies = new Map<string, string>();
  let url = new URL(authorizationUrl);
  let form: string | undefined;
  for (let step = 0; step < 20; step++) {
    const response = await fetch(url, {
      method: form === undefined ? 'GET' : 'POST',
      headers: {
        cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(form !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      ...(form !== undefined && { body: form }),
      redirect: 'manual',
    });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0]!.split(/=(.*)/s) as [string, string];
      if (value === '') cookies.delete(name);
      else cookies.set(name, value);
    }
    form = undefined;
    await response.arrayBuffer();
    const location = response.headers.get('location');
    if (location) {
      url = new URL(location, url);
      if (url.origin !== issuer) return url;
    } else if (response.status === 200) form = `answer=${answer === 'consent' ? 'allow' : 'deny'}`;
    else throw new Error(`The OAuth server answered with status ${response.status}.`);
  }
  throw new Error('The OAuth server redirects without an end.');
}
