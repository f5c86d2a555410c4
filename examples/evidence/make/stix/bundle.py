"""Writes a STIX 2.1 bundle that tells the findings of this folder as threat intelligence.

    bundle.py EVIDENCE_DIRECTORY OUTPUT_FILE

It reads the scan and red-team reports beside it, so that every number and every vulnerability in the
bundle is one that a tool reported; the threat actor and its campaign are invented and say so. The names
of the ATT&CK techniques are those of MITRE ATT&CK (attack.mitre.org).
"""

import json
import sys
import uuid
from collections import Counter
from pathlib import Path

import stix2

# Identifiers must not change between two runs: they follow from what they name.
NAMESPACE = uuid.UUID("8f4f2f53-6a5a-5d0e-9d4b-0f2d1f6c7a10")
TECHNIQUES = {
    "T1552.001": "Unsecured Credentials: Credentials In Files",
    "T1611": "Escape to Host",
    "T1190": "Exploit Public-Facing Application",
    "T1530": "Data from Cloud Storage",
    "T1059.007": "Command and Scripting Interpreter: JavaScript",
    "T1499.004": "Endpoint Denial of Service: Application or System Exploitation",
    "T1567": "Exfiltration Over Web Service",
}
# A rule of a scanner, and the technique that it would make possible.
TECHNIQUE_OF_RULE = {
    "aws-access-key-id": "T1552.001",
    "private-key": "T1552.001",
    "jwt-token": "T1552.001",
    "AVD-KSV-0017": "T1611",  # privileged container
    "AVD-KSV-0010": "T1611",  # host process namespace
    "AVD-AWS-0092": "T1530",  # bucket readable by everyone
    "AVD-AWS-0107": "T1190",  # SSH open to everyone
}
TECHNIQUE_OF_PROBE = {
    "web_injection.MarkdownImageExfil": "T1567",
    "web_injection.TaskXSS": "T1059.007",
    "exploitation.SQLInjectionEcho": "T1190",
}
DENIAL_OF_SERVICE = {"GO-2021-0061", "GO-2021-0113", "GO-2022-1059"}


def identifier(kind, name):
    return f"{kind}--{uuid.uuid5(NAMESPACE, name)}"


def common(kind, name):
    return {
        "id": identifier(kind, name),
        "created": made_at,
        "modified": made_at,
        "object_marking_refs": [stix2.TLP_WHITE],
    }


def main(evidence, output):
    global made_at  # the instant of the records is that of the scan, not of this script
    scan = json.loads((evidence / "trivy/helpdesk-1.0.0.json").read_text())
    made_at = scan["CreatedAt"][:23] + "Z"
    author = stix2.Identity(
        **common("identity", "author"), name="Custody examples", identity_class="organization"
    )
    system = stix2.Infrastructure(
        **common("infrastructure", "helpdesk"), name="helpdesk 1.0.0", created_by_ref=author.id,
        description="The sample application of this folder; nothing of it was ever deployed.",
    )
    techniques = {number: technique(number, author) for number in TECHNIQUES}
    actor = stix2.ThreatActor(
        **common("threat-actor", "quiet-parcel"), name="Quiet Parcel (invented)", created_by_ref=author.id,
        threat_actor_types=["criminal"], resource_level="individual", sophistication="minimal",
        description="An invented actor, so that the graph has somebody to walk from.",
    )
    malware = stix2.Malware(
        **common("malware", "parcel-page"), name="parcel-page (invented)", is_family=False,
        malware_types=["exploit-kit"], created_by_ref=author.id,
    )
    objects = [author, system, actor, malware, *techniques.values()]
    links = [
        relation(actor, "uses", malware), relation(actor, "compromises", system),
        relation(malware, "uses", techniques["T1567"]),
        *[relation(actor, "uses", technique) for technique in techniques.values()],
    ]
    for found in [weaknesses(evidence), misuse(scan), answers(evidence)]:
        for item, numbers in found:
            objects.append(item)
            for number in sorted(numbers):
                links.append(link(item, techniques[number]))
            if item.type == "vulnerability":
                links.append(relation(system, "has", item))
    tlp = stix2.TLP_WHITE
    bundle = stix2.Bundle(objects=[tlp, *objects, *links], id=identifier("bundle", "helpdesk"), allow_custom=False)
    output.write_text(bundle.serialize(pretty=True) + "\n")
    print(dict(Counter(item.type for item in bundle.objects)))


def technique(number, author):
    url = "https://attack.mitre.org/techniques/" + number.replace(".", "/")
    return stix2.AttackPattern(
        **common("attack-pattern", number), name=TECHNIQUES[number], created_by_ref=author.id,
        external_references=[{"source_name": "mitre-attack", "external_id": number, "url": url}],
    )


def relation(source, kind, target):
    name = f"{source.id} {kind} {target.id}"
    return stix2.Relationship(
        **common("relationship", name), source_ref=source.id, relationship_type=kind, target_ref=target.id
    )


def link(item, technique_object):
    if item.type == "indicator":
        return relation(item, "indicates", technique_object)
    return relation(technique_object, "targets", item)


def weaknesses(evidence):
    """One vulnerability for each advisory that osv-scanner reported, by its CVE."""
    report = json.loads((evidence / "osv-scanner/helpdesk-1.0.0.json").read_text())
    for source in report["results"]:
        for package in source["packages"]:
            name = "{ecosystem} {name} {version}".format(**package["package"])
            for advisory in package.get("vulnerabilities", []):
                cve = next(alias for alias in advisory["aliases"] if alias.startswith("CVE-"))
                yield stix2.Vulnerability(
                    **common("vulnerability", cve), name=cve,
                    description=f"{name}: {advisory['summary']}",
                    external_references=[
                        {"source_name": "cve", "external_id": cve},
                        {"source_name": "osv", "external_id": advisory["id"]},
                    ],
                ), {"T1499.004" if advisory["id"] in DENIAL_OF_SERVICE else "T1190"}


def misuse(scan):
    """One indicator for each secret and misconfiguration that Trivy reported and that we can map."""
    seen = set()
    for result in scan["Results"]:
        for finding in result.get("Secrets", []) + result.get("Misconfigurations", []):
            rule = finding.get("RuleID") or finding.get("AVDID")
            name = f"{finding['Title']} in {result['Target']}"
            if rule not in TECHNIQUE_OF_RULE or name in seen:
                continue
            seen.add(name)
            file = result["Target"].rsplit("/", 1)[-1]
            yield stix2.Indicator(
                **common("indicator", f"{rule} {result['Target']}"), name=name, pattern_type="stix",
                pattern=f"[file:name = '{file}']", valid_from=made_at, indicator_types=["compromised"],
                external_references=[{"source_name": "trivy", "external_id": rule}],
            ), {TECHNIQUE_OF_RULE[rule]}


def answers(evidence):
    """One indicator for each garak probe that broke release 1 of the bot and that we can map."""
    with (evidence / "garak/helpdesk-release-1.hitlog.jsonl").open() as lines:
        hits = Counter(json.loads(line)["probe"] for line in lines)
    for probe, number in TECHNIQUE_OF_PROBE.items():
        yield stix2.Indicator(
            **common("indicator", probe), name=f"{probe}: {hits[probe]} answers of helpdesk release 1",
            pattern_type="stix", pattern="[network-traffic:dst_ref.value = 'helpdesk.example.com']",
            valid_from=made_at, indicator_types=["anomalous-activity"],
            external_references=[{"source_name": "garak", "external_id": probe}],
        ), {number}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
