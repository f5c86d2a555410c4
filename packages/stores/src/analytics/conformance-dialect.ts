/** A statement over the table `lab.calls` of the suite, and the rows it answers. */
export type SpelledCase = readonly [statement: string, rows: readonly (readonly unknown[])[]];

/**
 * How an engine spells what the suites ask of every engine's SQL: functions and types have other names,
 * and some answers another type. The promises are the same.
 */
export interface SqlDialect {
  /** True where names that differ by case alone are the same name. */
  readonly ignoresCase: boolean;
  readonly cases: Readonly<
    Record<"subqueries" | "UNION" | "VALUES" | "names" | "dates" | "JSON" | "patterns", SpelledCase>
  >;
  /** A table expression of so many rows. */
  readonly rows: (count: number) => string;
  /** Runs for minutes, unless it is ended. */
  readonly endless: string;
  /** Makes one text of two gigabytes. */
  readonly greedyText: string;
  /** Holds twenty million texts of a hundred bytes. */
  readonly greedyGroups: string;
  /** What a tenant may try besides what the suite tries everywhere, by what it is after. */
  readonly attempts: Readonly<Record<string, readonly string[]>>;
}

/** DuckDB's spelling. */
export const DUCKDB_SQL: SqlDialect = {
  ignoresCase: true,
  cases: {
    subqueries: [
      "SELECT (SELECT max(ms) FROM lab.calls WHERE ms < 10), EXISTS (SELECT 1 FROM lab.calls)",
      [[1, true]],
    ],
    UNION: ["SELECT 1 AS x UNION SELECT 2 UNION SELECT 1 ORDER BY x", [[1], [2]]],
    VALUES: [
      "SELECT * FROM (VALUES (1, 'x'), (2, 'y')) AS v(n, t) ORDER BY n",
      [
        [1, "x"],
        [2, "y"],
      ],
    ],
    names: ["select MODEL from LAB.Calls where MODEL = 'a'", [["a"]]],
    dates: [
      `SELECT date_trunc('year', "at") FROM lab.calls WHERE _id = 'row-1'`,
      [["2026-01-01T00:00:00.000Z"]],
    ],
    JSON: ["SELECT json_extract_string(details, '$.n') FROM lab.calls WHERE ok", [["1"]]],
    patterns: [
      "SELECT count(*) FROM lab.calls WHERE model LIKE 'a%' OR regexp_matches(model, '^b$')",
      [[3]],
    ],
  },
  rows: (count) => `range(${count})`,
  endless:
    "SELECT sum(a.n * b.n) FROM (SELECT unnest(range(1000000)) AS n) a, (SELECT unnest(range(1000000)) AS n) b",
  greedyText: "SELECT length(string_agg(repeat('x', 1000000), ',')) FROM range(2000)",
  greedyGroups: "SELECT count(DISTINCT range::VARCHAR || repeat('x', 90)) FROM range(20000000)",
  attempts: {},
};

/** ClickHouse's spelling. */
export const CLICKHOUSE_SQL: SqlDialect = {
  ignoresCase: false,
  cases: {
    subqueries: [
      "SELECT (SELECT max(ms) FROM lab.calls WHERE ms < 10), EXISTS (SELECT 1 FROM lab.calls)",
      [[1, 1]],
    ],
    UNION: [
      "SELECT x FROM (SELECT 1 AS x UNION SELECT 2 AS x UNION SELECT 1 AS x) ORDER BY x",
      [[1], [2]],
    ],
    VALUES: [
      "SELECT * FROM values('n UInt8, t String', (1, 'x'), (2, 'y')) ORDER BY n",
      [
        [1, "x"],
        [2, "y"],
      ],
    ],
    names: ["select `model` from lab . calls where calls.model = 'a'", [["a"]]],
    dates: [
      `SELECT date_trunc('hour', "at") FROM lab.calls WHERE _id = 'row-1'`,
      [["2026-01-01T00:00:00.000Z"]],
    ],
    JSON: ["SELECT JSONExtractRaw(details, 'n') FROM lab.calls WHERE ok", [["1"]]],
    patterns: [
      "SELECT count(*) FROM lab.calls WHERE model LIKE 'a%' OR match(model, '^b$')",
      [[3]],
    ],
  },
  rows: (count) => `numbers(${count})`,
  endless: "SELECT sum(a.number * b.number) FROM numbers(1000000) AS a, numbers(1000000) AS b",
  greedyText: "SELECT length(groupConcat(',')(repeat('x', 1000000))) FROM numbers(2000)",
  greedyGroups:
    "SELECT uniqExact(concat(toString(number), repeat('x', 90))), count(DISTINCT concat(toString(number), repeat('y', 90))) FROM numbers(20000000)",
  attempts: {
    "files, in ClickHouse's words": [
      "SELECT * FROM file('/etc/passwd', 'LineAsString')",
      "SELECT file('/etc/passwd')",
      "SELECT 1 INTO OUTFILE 'custody-test-never-written'",
      "SELECT 1 INTO OUTFILE 'custody-test-never-written' FORMAT CSV",
      "INSERT INTO FUNCTION file('custody-test-never-written') SELECT 1",
      "SELECT * FROM lab.own, file('/etc/passwd', 'LineAsString')",
      "SELECT name IN (SELECT * FROM file('/etc/passwd', 'LineAsString')) FROM lab.own",
      "SELECT * FROM executable('cat /etc/passwd', 'TSV', 'line String')",
    ],
    "the network, in ClickHouse's words": [
      "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a String')",
      "SELECT * FROM s3('http://127.0.0.1:1/b/k', 'TSV', 'a String')",
      "SELECT * FROM remote('127.0.0.1:9000', 'system', 'tables')",
      "SELECT * FROM remoteSecure('127.0.0.1:9440', 'system', 'tables')",
      "SELECT * FROM cluster('default', 'system', 'tables')",
      "SELECT * FROM clusterAllReplicas('default', system.tables)",
      "SELECT * FROM mysql('127.0.0.1:3306', 'd', 't', 'u', 'p')",
      "SELECT * FROM postgresql('127.0.0.1:5432', 'd', 't', 'u', 'p')",
      "SELECT * FROM jdbc('x', 'y', 'z')",
    ],
    "other tables, in ClickHouse's words": [
      "SELECT * FROM system.tables",
      "SELECT * FROM system.users",
      "SELECT * FROM system.query_log",
      "SELECT * FROM `system`.`tables`",
      'SELECT * FROM "system.tables"',
      "SELECT * FROM default.anything",
      "SELECT * FROM collections",
      "SELECT * FROM merge('system', '.*')",
      "SELECT * FROM merge(currentDatabase(), '.*')",
      "SELECT * FROM view(SELECT * FROM system.tables)",
      "SELECT * FROM dictionary('any')",
      "SELECT * FROM mergeTreeIndex('lab', 'own')",
      "SELECT 'x' IN system.databases",
      "SELECT 'x' NOT IN tables",
      "SELECT 'x' GLOBAL IN system.databases",
      "SELECT name FROM lab.own WHERE name IN (SELECT name FROM system.tables)",
      "SELECT (SELECT count() FROM system.tables)",
      "SELECT * FROM (SELECT 1 UNION ALL SELECT count() FROM system.tables)",
      "WITH t AS (SELECT 1), system.tables AS t SELECT * FROM t",
      "WITH system.tables AS own SELECT * FROM own",
      'SELECT 1 FROM system.databases AS "x, identifier: own"',
      'SELECT count() AS "x, function_name: sum", hostName() AS "y, function_name: sum"',
      "SELECT dictGet('any', 'a', 1)",
      "SELECT joinGet('lab.own', 'name', 1)",
      "SELECT hasColumnInTable('system', 'tables', 'name')",
      "EXPLAIN AST SELECT 1",
      "EXPLAIN QUERY TREE SELECT 1",
      "DESCRIBE TABLE lab.own",
      "SHOW CREATE TABLE lab.own",
      "EXISTS TABLE lab.own",
      "SHOW DATABASES",
    ],
    "settings and the server, in ClickHouse's words": [
      "SELECT 1 SETTINGS readonly = 0",
      "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)",
      "SELECT 1 FORMAT TSV",
      "SELECT 1 FORMAT Null SETTINGS readonly = 0",
      "SELECT getSetting('max_threads')",
      "SELECT getServerSetting('max_thread_pool_size')",
      "SELECT getMacro('replica')",
      "SELECT hostName(), currentUser(), uptime()",
      "SELECT currentDatabase()",
      "SELECT globalVariable('version')",
      "SELECT @@version",
      "SELECT queryID()",
      "SELECT serverUUID()",
      "SYSTEM RELOAD CONFIG",
      "KILL QUERY WHERE 1",
      "GRANT ALL ON *.* TO default",
      "CREATE USER intruder",
      "OPTIMIZE TABLE lab.own FINAL",
      "SELECT {name:String}",
      "SELECT $tag$text$tag$",
      "SELECT 1 \\G",
    ],
    "waiting and the inside of aggregates, in ClickHouse's words": [
      "SELECT sleep(3)",
      "SELECT sleepEachRow(1) FROM numbers(3)",
      "SELECT COLUMNS('name') APPLY (sleep) FROM lab.own",
      "SELECT * APPLY (x -> sleep(1)) FROM lab.own",
      "SELECT arrayMap(x -> sleep(x), [1])",
      "SELECT sumState(1)",
      "SELECT sumMerge(name) FROM lab.own",
      "SELECT finalizeAggregation(CAST(name, 'AggregateFunction(sum, UInt64)')) FROM lab.own",
      "SELECT CAST(name, 'AggregateFunction(uniq, String)') FROM lab.own",
      "SELECT arrayReduce('sumState', [1])",
      "SELECT initializeAggregation('sumState', 1)",
      "SELECT throwIf(1)",
    ],
  },
};
