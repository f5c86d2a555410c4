// The value and type classes of DuckDB's library that statements are bound and answers are read with.
export {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  DuckDBArrayValue,
  DuckDBDateValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  FLOAT,
  HUGEINT,
  LIST,
  StatementType,
  TIMESTAMP,
  VARCHAR,
} from "@duckdb/node-api";
