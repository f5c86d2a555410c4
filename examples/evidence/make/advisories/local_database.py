"""Writes ten advisories in the two layouts that scanners read without a network.

    local_database.py OUTPUT_DIRECTORY

  OUTPUT/osv-scalibr/<ecosystem>/all.zip   for osv-scanner --offline (OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY=OUTPUT)
  OUTPUT/govulncheck/                      for govulncheck -db file://OUTPUT/govulncheck

The facts (identifier, aliases, package, range, score, weakness class, affected symbols) are those of the
GitHub Advisory Database (CC BY 4.0) and of the Go vulnerability database (CC BY 4.0); the sentences are
ours. This is a sample for examples, not a database to protect anything with: it knows ten advisories, so
a component without a finding here may well have one.
"""

import json
import sys
import zipfile
from pathlib import Path

# The day on which these records were written down; each original carries a later or earlier date.
MODIFIED = "2026-11-21T00:00:00Z"


def github(identifier, published, alias, ecosystem, packages, score, rating, weaknesses, sentence):
    """packages: (name, introduced, fixed)."""
    return {
        "schema_version": "1.6.0",
        "id": identifier,
        "modified": MODIFIED,
        "published": published,
        "aliases": [alias],
        "summary": sentence,
        "severity": [{"type": "CVSS_V3", "score": score}],
        "affected": [
            {
                "package": {"ecosystem": ecosystem, "name": name},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": introduced}, {"fixed": fixed}]}
                ],
            }
            for name, introduced, fixed in packages
        ],
        "references": [
            {"type": "ADVISORY", "url": f"https://github.com/advisories/{identifier}"},
            {"type": "ADVISORY", "url": f"https://nvd.nist.gov/vuln/detail/{alias}"},
        ],
        "database_specific": {"cwe_ids": weaknesses, "severity": rating},
    }


def golang(identifier, published, aliases, module, introduced, fixed, symbols, sentence):
    events = [{"introduced": introduced}] + ([{"fixed": fixed}] if fixed else [])
    package, names = symbols
    advisory = {
        "schema_version": "1.3.1",
        "id": identifier,
        "modified": MODIFIED,
        "aliases": aliases,
        "summary": sentence,
        "details": sentence,
        "affected": [
            {
                "package": {"ecosystem": "Go", "name": module},
                "ranges": [{"type": "SEMVER", "events": events}],
                "ecosystem_specific": {"imports": [{"path": package, "symbols": names}]},
            }
        ],
        "references": [{"type": "WEB", "url": f"https://pkg.go.dev/vuln/{identifier}"}],
        "database_specific": {"url": f"https://pkg.go.dev/vuln/{identifier}"},
    }
    return advisory | ({"published": published} if published else {})


ADVISORIES = [
    github("GHSA-35jh-r3h4-6jhm", "2021-05-06T16:05:51Z", "CVE-2021-23337", "npm",
           [("lodash", "0", "4.17.21"), ("lodash-es", "0", "4.17.21")],
           "CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H", "HIGH", ["CWE-77", "CWE-94"],
           "The template function of lodash can be made to run injected code."),
    github("GHSA-p6mc-m468-83gw", "2020-07-15T19:15:48Z", "CVE-2020-8203", "npm",
           [("lodash", "0", "4.17.20"), ("lodash-es", "0", "4.17.20")],
           "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:H/A:H", "HIGH", ["CWE-1321", "CWE-770"],
           "zipObjectDeep of lodash lets a caller change the prototype of every object."),
    github("GHSA-xvch-5gv4-984h", "2022-03-18T00:01:09Z", "CVE-2021-44906", "npm",
           [("minimist", "1.0.0", "1.2.6"), ("minimist", "0", "0.2.4")],
           "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CRITICAL", ["CWE-1321"],
           "Arguments parsed by minimist can change the prototype of every object."),
    github("GHSA-462w-v97r-4m45", "2019-04-10T14:30:24Z", "CVE-2019-10906", "PyPI",
           [("jinja2", "0", "2.10.1")],
           "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:N/A:N", "HIGH", ["CWE-693"],
           "str.format_map leads out of the template sandbox of Jinja2."),
    github("GHSA-8q59-q68h-6hv4", "2021-03-25T21:26:26Z", "CVE-2020-14343", "PyPI",
           [("pyyaml", "0", "5.4")],
           "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CRITICAL", ["CWE-20"],
           "FullLoader of PyYAML runs code that a YAML file asks for."),
    github("GHSA-x84v-xcm2-53pg", "2018-10-29T19:06:46Z", "CVE-2018-18074", "PyPI",
           [("requests", "0", "2.20.0")],
           "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", "HIGH", ["CWE-522"],
           "Requests sends credentials in clear text after a redirect from https to http."),
    golang("GO-2020-0017", "2021-04-14T20:04:52Z", ["CVE-2020-26160", "GHSA-w73w-5m7g-f7qc"],
           "github.com/dgrijalva/jwt-go", "0.0.0-20150717181359-44718f8a89b0", None,
           ("github.com/dgrijalva/jwt-go", ["MapClaims.VerifyAudience"]),
           "A token with a list of audiences passes a check that should refuse it."),
    golang("GO-2021-0061", "2021-04-14T20:04:52Z", ["CVE-2021-4235", "GHSA-r88r-gmrh-7j83"],
           "gopkg.in/yaml.v2", "0", "2.2.3",
           ("gopkg.in/yaml.v2", ["Decoder.Decode", "Unmarshal", "UnmarshalStrict", "decoder.unmarshal"]),
           "A YAML file with nested aliases exhausts memory and processor."),
    golang("GO-2021-0113", "2021-10-06T17:51:21Z", ["CVE-2021-38561", "GHSA-ppp9-7jff-5vj2"],
           "golang.org/x/text", "0", "0.3.7",
           ("golang.org/x/text/language", ["MatchStrings", "MustParse", "Parse", "ParseAcceptLanguage"]),
           "A malformed language tag makes the parser read out of bounds and panic."),
    golang("GO-2022-1059", None, ["CVE-2022-32149", "GHSA-69ch-w2m2-3vjp"],
           "golang.org/x/text", "0", "0.3.8",
           ("golang.org/x/text/language", ["MatchStrings", "ParseAcceptLanguage"]),
           "A crafted Accept-Language header keeps the parser busy for a long time."),
]


def write_osv_scanner(root):
    by_ecosystem = {}
    for advisory in ADVISORIES:
        by_ecosystem.setdefault(advisory["affected"][0]["package"]["ecosystem"], []).append(advisory)
    for ecosystem, advisories in by_ecosystem.items():
        folder = root / ecosystem
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / "all.zip", "w") as archive:
            for advisory in advisories:
                archive.writestr(advisory["id"] + ".json", json.dumps(advisory))


def write_govulncheck(root):
    """The layout of go.dev/security/vuln/database: an index, and one file per advisory."""
    go = [advisory for advisory in ADVISORIES if advisory["id"].startswith("GO-")]
    modules = {}
    for advisory in go:
        affected = advisory["affected"][0]
        fixed = [event["fixed"] for event in affected["ranges"][0]["events"] if "fixed" in event]
        modules.setdefault(affected["package"]["name"], []).append(
            {"id": advisory["id"], "modified": MODIFIED} | ({"fixed": fixed[0]} if fixed else {})
        )
    files = {
        "index/db.json": {"modified": MODIFIED},
        "index/modules.json": [{"path": path, "vulns": v} for path, v in sorted(modules.items())],
        "index/vulns.json": [
            {"id": a["id"], "modified": MODIFIED, "aliases": a["aliases"]} for a in go
        ],
    } | {f"ID/{advisory['id']}.json": advisory for advisory in go}
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


if __name__ == "__main__":
    output = Path(sys.argv[1])
    write_osv_scanner(output / "osv-scalibr")
    write_govulncheck(output / "govulncheck")
