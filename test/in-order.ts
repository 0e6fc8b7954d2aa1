import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Test files in the order of their names: the yard's files tell one story. */
export class InOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return [...files].sort((a, b) => a.moduleId.localeCompare(b.moduleId));
  }
}
