import { type Kysely, sql } from "kysely";

/** Deployments that nobody pushed: somebody asked for a commit, or for a release of before. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    alter table deployment
      add column kind text not null default 'push',
      add column caller text,
      alter column push drop not null,
      alter column git_server drop not null`.execute(database);
  await sql`alter table deployment add constraint deployment_push check ((kind = 'push') = (push is not null and git_server is not null))`.execute(
    database,
  );
}
