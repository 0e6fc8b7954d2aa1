/** What a visitor reads before the first deployment; without double quotes, because it stands in Apache's configuration. */
export const noReleasePage = page("Nothing here yet", "This website has no release yet. It appears with the first git push.");

/** What a visitor reads of a live website on a box that has no release of it at the moment, or no PHP. */
export const notNowPage = page("One moment, please", "This website cannot answer right now. Please try again in a few seconds.");

/** What a visitor reads when all PHP workers of the website are busy. */
export const busyPage = page(
  "Very busy",
  "This website has more visitors than it can serve at the moment. Please try again in a few seconds.",
);

function page(title: string, text: string): string {
  const style = "body{font:18px/1.5 system-ui,sans-serif;margin:20vh auto;max-width:30em;padding:0 1em;color:#333}";
  return `<!doctype html><html lang='en'><meta charset='utf-8'><title>${title}</title><style>${style}</style><h1>${title}</h1><p>${text}</p></html>`;
}
