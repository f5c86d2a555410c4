import { parseServerUrl } from "../drivers/server-settings.ts";

type Point = Readonly<Record<string, unknown>>;

/** A server of InfluxDB 1.8 as tests reach behind a store's back: through InfluxQL. */
export class InfluxdbTestServer {
  readonly #url: string;
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(url: string) {
    const rules = {
      product: "InfluxDB",
      schemes: { influxdb: "clear" },
      defaultPort: 8086,
    } as const;
    const { hosts, user = "", password = "" } = parseServerUrl(url, { ...rules, options: ["org"] });
    this.#url = url;
    this.#base = `http://${hosts[0]?.host}:${hosts[0]?.port}`;
    const authorization = `Token ${user === "" ? password : `${user}:${password}`}`;
    this.#headers = password === "" ? {} : { authorization };
  }

  /** The server's URL with a prefix of databases. */
  urlOf(prefix: string): string {
    return this.#url.replace(/(\/\/[^/?]*)\/?(\?|$)/, `$1/${prefix}$2`);
  }

  /** The points of a measurement, columns by name, `time` in nanoseconds as a text. */
  async points(database: string, measurement: string): Promise<readonly Point[]> {
    const text = await this.#query(`SELECT * FROM "${measurement}"`, database);
    // Nanoseconds are more than a number holds.
    const exact = text.replaceAll(/\[(-?\d{16,}),/g, '["$1",');
    const answer = JSON.parse(exact) as {
      readonly results: readonly {
        readonly series?: readonly {
          readonly columns: readonly string[];
          readonly values: readonly (readonly unknown[])[];
        }[];
      }[];
    };
    const [series] = answer.results[0]?.series ?? [];
    return (series?.values ?? []).map((values) =>
      Object.fromEntries((series?.columns ?? []).map((name, index) => [name, values[index]])),
    );
  }

  /** Changes, removes or adds a point of a record. */
  async tamper(
    database: string,
    {
      how,
      id,
      measurement,
      field,
    }: {
      readonly how: "alter" | "lose" | "invent";
      readonly id: string;
      readonly measurement: string;
      readonly field: string;
    },
  ): Promise<void> {
    if (how === "invent") {
      const line = `${measurement},model=%-,host=%- ${field}=1,custody="1 0 1 ${id}" 1`;
      await this.#write(database, line);
      return;
    }
    const points = await this.points(database, measurement);
    const point = points.find(({ custody }) => String(custody).endsWith(` ${id}`)) ?? {};
    if (how === "lose") {
      await this.#query(
        `DELETE FROM "${measurement}" WHERE time = ${String(point["time"])}`,
        database,
      );
      return;
    }
    const tags = await this.#tagKeys(database, measurement);
    const series = tags.map((name) => `,${escaped(name)}=${escaped(String(point[name]))}`);
    const line = `${measurement}${series.join("")} ${field}=123456 ${String(point["time"])}`;
    await this.#write(database, line);
  }

  /** Drops every database whose name begins with one of the prefixes. */
  async drop(prefixes: Iterable<string>): Promise<void> {
    const names = [...prefixes].map((prefix) => `${prefix}.`);
    const text = await this.#query("SHOW DATABASES");
    for (const [, name = ""] of text.matchAll(/\["([^"]+)"\]/g)) {
      if (names.some((start) => name.startsWith(start))) {
        await this.#query(`DROP DATABASE "${name}"`);
      }
    }
  }

  async #tagKeys(database: string, measurement: string): Promise<readonly string[]> {
    const text = await this.#query(`SHOW TAG KEYS FROM "${measurement}"`, database);
    const found = JSON.parse(text) as {
      readonly results: readonly {
        readonly series?: readonly { readonly values: readonly (readonly string[])[] }[];
      }[];
    };
    return (found.results[0]?.series?.[0]?.values ?? []).map(([name = ""]) => name);
  }

  async #query(text: string, database = ""): Promise<string> {
    const to = `${this.#base}/query?epoch=ns&db=${encodeURIComponent(database)}`;
    return await this.#post(to, new URLSearchParams({ q: text }));
  }

  async #write(database: string, line: string): Promise<void> {
    await this.#post(`${this.#base}/write?precision=ns&db=${encodeURIComponent(database)}`, line);
  }

  async #post(to: string, body: string | URLSearchParams): Promise<string> {
    const response = await fetch(to, { method: "POST", headers: this.#headers, body });
    const text = await response.text();
    if (!response.ok || text.includes('"error"')) throw new Error(`InfluxDB answered ${text}`);
    return text;
  }
}

function escaped(text: string): string {
  return text.replaceAll(/[ ,=]/g, "\\$&");
}
