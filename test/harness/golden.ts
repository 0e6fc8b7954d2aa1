/**
 * Rendered files as one text, to be compared with a golden file by `toMatchFileSnapshot`. After a change that is meant,
 * `bin/test unit FILE -u` writes the golden file again; read the difference before you commit it.
 */
export function goldenText(files: readonly RenderedFile[]): string {
  return files.map((file) => `──── ${describe(file)}\n${file.content}`).join("");
}

interface RenderedFile {
  readonly path: string;
  readonly content: string;
  readonly mode?: number;
  readonly owner?: string;
  readonly group?: string;
}

/** Path, permission bits and owner as the file is to have them. */
function describe({ path, mode = 0o644, owner = "root", group = owner }: RenderedFile): string {
  return `${path} ${mode.toString(8)} ${owner}:${group}`;
}
