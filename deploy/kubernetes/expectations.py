"""What this project promises of its manifests, held against a rendered overlay.

    expectations.py RENDERED.yaml OVERLAY/

Kubernetes' own kinds are checked against their schemas by kubernetes-validate. The operators' resources (KEDA,
CloudNativePG, RabbitMQ, Prometheus) have none there: of those, every field that is used must be one of FIELDS, which was
copied by hand from their documentation. That finds a slip of the pen; it does not prove that an operator takes the value.
"""

import sys
import tomllib
from pathlib import Path

import yaml

DEFAULTS = Path(__file__).parents[2] / "crates/settings/src/default.toml"
SECRETS = Path(__file__).parent / "secrets.example.yaml"
WORKERS = ["match-escrow", "reward-fulfillment", "player-stats", "offer-removal", "event-archive"]
SERVICES = ["ingress", "api", "dispatcher", "reconciler", *WORKERS]
# What is served, beside the drain: what the ingress is still relaying, and what a process takes to end.
SLACK_S = 3

ANY = None
FIELDS = {
    "ScaledObject": {
        "scaleTargetRef": {"name": ANY},
        "minReplicaCount": ANY,
        "maxReplicaCount": ANY,
        "pollingInterval": ANY,
        "cooldownPeriod": ANY,
        "fallback": {"failureThreshold": ANY, "replicas": ANY},
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": ANY}}}},
        "triggers": [
            {
                "type": ANY,
                "metricType": ANY,
                "metadata": {
                    "protocol": ANY,
                    "queueName": ANY,
                    "mode": ANY,
                    "value": ANY,
                    "serverAddress": ANY,
                    "query": ANY,
                    "threshold": ANY,
                },
                "authenticationRef": {"name": ANY},
            }
        ],
    },
    "TriggerAuthentication": {"secretTargetRef": [{"parameter": ANY, "name": ANY, "key": ANY}]},
    "RabbitmqCluster": {
        "replicas": ANY,
        "image": ANY,
        "terminationGracePeriodSeconds": ANY,
        "persistence": {"storage": ANY},
        "resources": ANY,
        "affinity": ANY,
        "rabbitmq": {"additionalPlugins": ANY, "additionalConfig": ANY},
        "override": {"statefulSet": {"spec": ANY}},
    },
    "Cluster": {
        "instances": ANY,
        "imageName": ANY,
        "primaryUpdateStrategy": ANY,
        "enablePDB": ANY,
        "bootstrap": {"initdb": {"database": ANY, "owner": ANY, "dataChecksums": ANY}},
        "managed": {
            "roles": [{"name": ANY, "ensure": ANY, "login": ANY, "inRoles": ANY, "passwordSecret": {"name": ANY}}]
        },
        "postgresql": {"synchronous": {"method": ANY, "number": ANY}, "parameters": ANY},
        "storage": {"size": ANY},
        "walStorage": {"size": ANY},
        "resources": ANY,
        "affinity": {"enablePodAntiAffinity": ANY, "topologyKey": ANY, "podAntiAffinityType": ANY},
    },
    "PodMonitor": {
        "selector": {"matchLabels": ANY},
        "podMetricsEndpoints": [{"port": ANY, "interval": ANY, "path": ANY, "params": ANY, "relabelings": ANY}],
    },
}

problems: list[str] = []


def expect(condition: object, problem: str) -> None:
    if not condition:
        problems.append(problem)


def known(value: object, fields: object, where: str) -> None:
    """Every field of `value` is one of `fields`."""
    if fields is ANY:
        return
    if isinstance(fields, list):
        expect(isinstance(value, list), f"{where} is no list")
        for place, item in enumerate(value if isinstance(value, list) else []):
            known(item, fields[0], f"{where}[{place}]")
        return
    expect(isinstance(value, dict), f"{where} is no object")
    for name, inner in (value if isinstance(value, dict) else {}).items():
        expect(name in fields, f"{where}.{name} is not a field that we know")
        if name in fields:
            known(inner, fields[name], f"{where}.{name}")


def restricted(name: str, pod: dict) -> None:
    """The pod security standard "restricted", a root that cannot be written, and limits."""
    context = pod.get("securityContext", {})
    expect(context.get("runAsNonRoot") is True, f"{name} may run as root")
    expect(context.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{name} has no seccomp profile")
    expect(pod.get("automountServiceAccountToken") is False, f"{name} is given a token of Kubernetes")
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        expect(not pod.get(forbidden), f"{name} has {forbidden}")
    for volume in pod.get("volumes", []):
        expect("hostPath" not in volume, f"{name} mounts a path of its node")
    for container in pod["containers"] + pod.get("initContainers", []):
        own = container.get("securityContext", {})
        expect(own.get("allowPrivilegeEscalation") is False, f"{name} may gain privileges")
        expect(own.get("capabilities", {}).get("drop") == ["ALL"], f"{name} keeps capabilities")
        expect(own.get("readOnlyRootFilesystem") is True, f"{name} can write its root")
        resources = container.get("resources", {})
        expect("memory" in resources.get("limits", {}), f"{name} has no limit of memory")
        expect({"cpu", "memory"} <= resources.get("requests", {}).keys(), f"{name} requests nothing")
        for variable in container.get("env", []):
            secret = any(word in variable["name"] for word in ("SECRET", "URL", "TOKEN", "PASSWORD", "KEY"))
            value = variable.get("value", "")
            path = "/run/secrets/" in value or variable["name"].endswith("__SCOPES")
            expect(not secret or path or value.startswith("https://"), f"{name} has a secret in {variable['name']}")


def probes(name: str, container: dict) -> None:
    paths = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        get = container.get(probe, {}).get("httpGet", {})
        expect(get.get("path") == path and get.get("port") == "admin", f"{name}: its {probe} does not ask {path}")


def drains(name: str, pod: dict, settings: dict) -> None:
    """The time until a pod is killed is longer than all that it may take."""
    section = name if name in ("ingress", "api", "dispatcher", "reconciler") else "workers"
    container = pod["containers"][0]
    wait = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    milliseconds = settings[section]["drain_timeout_ms"] + settings[section].get("drain_delay_ms", 0)
    least = wait + milliseconds / 1000 + SLACK_S
    grace = pod.get("terminationGracePeriodSeconds", 30)
    expect(grace >= least, f"{name} is killed after {grace} s, and may take {least} s")


def admin_port(name: str, container: dict, settings: dict) -> None:
    """The port that is probed is the one on which the service listens, for others than itself."""
    section = settings.get(name) or settings["workers"][name.replace("-", "_")]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    expect(section["admin_listen"] == f"0.0.0.0:{ports['admin']}", f"{name} does not listen on its port admin")
    if "http" in ports:
        expect(section["listen"] == f"0.0.0.0:{ports['http']}", f"{name} does not listen on its port http")


def mounted(name: str, pod: dict, secrets: dict[str, set[str]], config_maps: set[str]) -> None:
    """What is mounted is there, and what the environment names is mounted."""
    files = set()
    for volume in pod.get("volumes", []):
        if "configMap" in volume:
            expect(volume["configMap"]["name"] in config_maps, f"{name}: no ConfigMap {volume['configMap']['name']}")
        for source in volume.get("projected", {}).get("sources", []):
            secret = source["secret"]
            for item in secret["items"]:
                there = item["key"] in secrets.get(secret["name"], set())
                expect(there, f"{name}: secrets.example.yaml has no {item['key']} in {secret['name']}")
                files.add(f"/run/secrets/matchpurse/{item['path']}")
    for variable in pod["containers"][0].get("env", []):
        value = variable.get("value", "")
        for part in value.split('"') if value.startswith("[") else [value]:
            if part.startswith("/run/secrets/"):
                expect(part in files, f"{name}: {variable['name']} names {part}, which is not mounted")


def merged(defaults: dict, own: dict) -> dict:
    result = dict(defaults)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def selects(selector: dict, labels: list[dict]) -> bool:
    def fits(own: dict) -> bool:
        for key, value in selector.get("matchLabels", {}).items():
            if own.get(key) != value:
                return False
        for rule in selector.get("matchExpressions", []):
            if own.get(rule["key"]) not in rule["values"]:
                return False
        return True

    return any(fits(own) for own in labels)


def main(rendered: str, overlay: str) -> None:
    objects = [one for one in yaml.safe_load_all(Path(rendered).read_text()) if one]
    by_kind: dict[str, dict[str, dict]] = {}
    for one in objects:
        before = by_kind.setdefault(one["kind"], {}).setdefault(one["metadata"]["name"], one)
        expect(before is one, f"{one['kind']} {one['metadata']['name']} is there twice")
    secrets = {
        one["metadata"]["name"]: set(one["stringData"]) for one in yaml.safe_load_all(SECRETS.read_text()) if one
    }
    for one in yaml.safe_load_all(SECRETS.read_text()):
        for key, value in (one or {}).get("stringData", {}).items():
            expect(not value or key == "username", f"secrets.example.yaml has a value for {key}")
    expect("Secret" not in by_kind, "a Secret is rolled out from files")

    settings = merged(
        tomllib.loads(DEFAULTS.read_text()), tomllib.loads((Path(overlay) / "matchpurse.toml").read_text())
    )
    config_maps = set(by_kind.get("ConfigMap", {}))
    deployments = by_kind["Deployment"]
    expect(sorted(deployments) == sorted(SERVICES), f"not all services are there: {sorted(deployments)}")
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in deployments.values()]
    for name, one in deployments.items():
        pod = one["spec"]["template"]["spec"]
        container = pod["containers"][0]
        restricted(name, pod)
        probes(name, container)
        drains(name, pod, settings)
        admin_port(name, container, settings)
        mounted(name, pod, secrets, config_maps)
        expect(container["command"] == [f"matchpurse-{name}"], f"{name} runs something else")
        rolling = one["spec"]["strategy"]["rollingUpdate"]
        expect(rolling == {"maxSurge": 1, "maxUnavailable": 0}, f"{name} goes before its next one is ready")
        budget = by_kind["PodDisruptionBudget"].get(name, {}).get("spec", {})
        expect(selects(budget.get("selector", {"matchLabels": {"": ""}}), labels), f"{name} has no disruption budget")
    for name, one in by_kind["Job"].items():
        pod = one["spec"]["template"]["spec"]
        restricted(name, pod)
        mounted(name, pod, secrets, config_maps)
        labels.append(one["spec"]["template"]["metadata"]["labels"])
    # Pods of the operators.
    labels += [{"app.kubernetes.io/name": name} for name in by_kind.get("RabbitmqCluster", {})]
    labels += [{"cnpg.io/cluster": name} for name in by_kind.get("Cluster", {})]

    for name, one in by_kind["Service"].items():
        expect(selects({"matchLabels": one["spec"]["selector"]}, labels), f"the Service {name} selects nothing")
    for name, one in by_kind["NetworkPolicy"].items():
        expect(selects(one["spec"]["podSelector"], labels), f"the NetworkPolicy {name} selects nothing")
        for rule in one["spec"].get("ingress", []) + one["spec"].get("egress", []):
            for peer in rule.get("from", []) + rule.get("to", []):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    expect(selects(peer["podSelector"], labels), f"the NetworkPolicy {name} names nobody")
    deny = by_kind["NetworkPolicy"].get("default-deny", {}).get("spec", {})
    expect(deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, "not everything is denied by default")

    for kind, fields in FIELDS.items():
        for name, one in by_kind.get(kind, {}).items():
            known(one["spec"], fields, f"{kind} {name}: spec")
    for name, one in by_kind.get("ScaledObject", {}).items():
        target = one["spec"]["scaleTargetRef"]["name"]
        expect(target in deployments, f"the ScaledObject {name} scales nothing")
        expect("replicas" not in deployments.get(target, {}).get("spec", {}), f"{target} has a number of replicas, too")
        for trigger in one["spec"]["triggers"]:
            queue = trigger["metadata"].get("queueName", f"matchpurse.{target}")
            expect(queue == f"matchpurse.{target}", f"the ScaledObject {name} looks at {queue}")
    namespace = by_kind["Namespace"]["matchpurse"]["metadata"]["labels"]
    expect(namespace.get("pod-security.kubernetes.io/enforce") == "restricted", "the namespace is not restricted")


if __name__ == "__main__":
    main(*sys.argv[1:])
    for problem in problems:
        print(f"{sys.argv[2]}: {problem}", file=sys.stderr)
    sys.exit(bool(problems))
