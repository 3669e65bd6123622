export interface PageParts {
  readonly styles: readonly string[];
  readonly clientScript: string;
  readonly graphiqlScript: string;
}

/** Returns the page with the URLs of its assets. The client script comes first, because it removes the token from the address. */
export function pageHtml({ styles, clientScript, graphiqlScript }: PageParts): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>GraphiQL · credential-gateway</title>
    <script src="${clientScript}"></script>
    <link rel="icon" href="${favicon}">
    ${styles.map((style) => `<link rel="stylesheet" href="${style}">`).join('\n    ')}
    <script src="${graphiqlScript}" defer></script>
  </head>
  <body>
    <noscript>GraphiQL needs JavaScript.</noscript>
    <header id="bar" class="graphiql-container"></header>
    <main id="root"></main>
    <dialog id="offer" aria-labelledby="offer-title" aria-describedby="offer-text"></dialog>
  </body>
</html>
`;
}

/** A padlock. */
const favicon = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M5 7V5a3 3 0 0 1 6 0v2" fill="none" stroke="#d60590" stroke-width="2"/><rect x="3" y="7" width="10" height="7" rx="1.5" fill="#d60590"/></svg>',
)}`;

/** The bar above GraphiQL, in GraphiQL's own colors, light and dark. */
export const pageStyle = `
body { display: flex; flex-direction: column; height: 100vh; overflow: hidden; }
#root { flex: 1; min-height: 0; }
#root .graphiql-container { height: 100%; width: 100%; }
#root .graphiql-logo { display: none; }
#bar {
  box-sizing: border-box; width: 100%; height: auto; align-items: center; gap: 8px 24px; padding: 8px 16px 0;
  justify-content: space-between; font-size: 14px;
}
#bar.asks {
  background: linear-gradient(hsla(var(--color-warning), 0.15) 0 100%) hsl(var(--color-base)); padding-bottom: 8px;
  border-bottom: 1px solid hsl(var(--color-warning));
}
#bar .whose { display: flex; align-items: baseline; gap: 4px; white-space: pre; }
#bar .hint { flex: 1; line-height: 1.7; }
#bar .hint code:last-child { display: block; width: fit-content; }
#bar code { font-family: var(--font-family-mono); font-size: 13px; background: hsla(var(--color-neutral), 0.1); border-radius: 4px; padding: 1px 5px; }
#bar form { display: flex; gap: 8px; }
#bar input {
  width: 200px; padding: 5px 8px; font: inherit; color: inherit; background: hsl(var(--color-base));
  border: 1px solid hsla(var(--color-neutral), 0.4); border-radius: 4px;
}
#bar button {
  padding: 3px 10px; cursor: pointer; font: inherit; color: inherit; background: transparent;
  border: 1px solid hsla(var(--color-neutral), 0.4); border-radius: 4px;
}
#offer {
  max-width: 520px; padding: 20px 24px; border: 1px solid #d60590; border-radius: 8px; color: #1f2328; background: #fff;
  font: 15px/1.5 system-ui, sans-serif;
}
#offer::backdrop { background: rgb(0 0 0 / 50%); }
#offer h2 { margin: 0 0 8px; font-size: 18px; }
#offer table { margin: 12px 0; border-collapse: collapse; }
#offer th, #offer td { padding: 2px 16px 2px 0; text-align: left; overflow-wrap: anywhere; }
#offer .choices { display: flex; gap: 8px; justify-content: flex-end; }
#offer button { padding: 6px 12px; font: inherit; cursor: pointer; color: inherit; background: #fff; border: 1px solid #8c959f; border-radius: 4px; }
#offer button:focus-visible { outline: 3px solid #0969da; }
#bar button.other { margin-left: 12px; }
#bar button:hover { background: hsla(var(--color-neutral), 0.1); }
`;
