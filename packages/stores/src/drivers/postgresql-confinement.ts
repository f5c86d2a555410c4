/** The statements by which a table's rows are seen and written in their own space alone: the second wall. */
export function confinedTable(sqlName: string): readonly string[] {
  return [
    `ALTER TABLE ${sqlName} ENABLE ROW LEVEL SECURITY`,
    `ALTER TABLE ${sqlName} FORCE ROW LEVEL SECURITY`,
    // Looked up once a statement, not once a row.
    `CREATE POLICY custody_space ON ${sqlName}
      USING (_space = (SELECT current_setting('custody.space', true)))`,
  ];
}
