"""What this project promises of docker-compose.yml, held without an engine.

    expectations.py

Every service of the workspace is in the image, in the compose file and in Kubernetes; each logs in as itself; nothing is
published but the ingress and the API; what is confined is confined. `deploy/check run` sees the same of containers.
"""

import json
import re
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

ROOT = Path(__file__).parents[1]
# Programs that are no service.
TOOLS = {"cli", "local-servers", "bench"}
# Services that have no business with the broker.
WITHOUT_BROKER = {"api", "dispatcher"}
SERVERS = {"rabbitmq", "postgres"}
PUBLISHED = {None: {"ingress", "api"}, "observability": {"prometheus", "grafana", "jaeger"}}
# What a PostgreSQL is set to wherever we set one up: rare checkpoints, and little written by each commit.
POSTGRES = {"max_wal_size": "4GB", "wal_compression": "lz4", "checkpoint_timeout": "15min"}

problems: list[str] = []


def expect(condition: object, problem: str) -> None:
    if not condition:
        problems.append(problem)


def text(path: str) -> str:
    return (ROOT / path).read_text()


def services() -> set[str]:
    """Every program of the workspace that serves: a crate has a name, and its program the same behind `matchpurse-`."""
    return {path.parts[-3] for path in ROOT.glob("crates/*/src/main.rs")} - TOOLS


def interpolated(document: object) -> object:
    """As Docker reads it where no variable is set."""
    if isinstance(document, dict):
        return {key: interpolated(value) for key, value in document.items()}
    if isinstance(document, list):
        return [interpolated(value) for value in document]
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", document) if isinstance(document, str) else document


def mounted(service: dict) -> dict[str, str]:
    """The service's secrets: where each is mounted, and its name."""
    found = {}
    for secret in service.get("secrets", []):
        source, target = (secret, secret) if isinstance(secret, str) else (secret["source"], secret["target"])
        found[target if target.startswith("/") else f"/run/secrets/{target}"] = source
    return found


def everywhere(compose: dict) -> None:
    wanted = services()
    default = {name for name, one in compose["services"].items() if "profiles" not in one}
    expect(default == wanted | SERVERS | {"migrate"}, f"docker-compose.yml starts {sorted(default)}")
    links = re.search(r"for service in ([^;]*); do", text("deploy/Dockerfile"))
    expect(links and set(links[1].split()) == wanted, "the image has other programs than the workspace")
    base = yaml.safe_load(text("deploy/kubernetes/base/kustomization.yaml"))["resources"]
    for name in wanted:
        expect(f'"{name}" =>' in text("crates/cli/src/program.rs"), f"matchpurse is not {name} when it is called so")
        expect(f"{name}.yaml" in base, f"Kubernetes does not have {name}")


def published(compose: dict) -> None:
    for name, one in compose["services"].items():
        profile = one.get("profiles", [None])[0]
        expect(("ports" in one) == (name in PUBLISHED.get(profile, ())), f"{name}: its ports are not what is promised")
        for port in one.get("ports", []):
            expect(port.startswith("127.0.0.1:"), f"{name} publishes {port} to other machines")
        outside = "outside" in one.get("networks", [])
        expect(outside or "ports" not in one, f"{name} publishes a port that an internal network has not")
        expect(not outside or name not in SERVERS, f"{name} can be reached from outside")
        expect("network_mode" not in one and not one.get("privileged"), f"{name} is not confined")
    expect(compose["networks"]["inside"] == {"internal": True}, "the network inside is not internal")


def confined(compose: dict) -> None:
    for name, one in compose["services"].items():
        expect("mem_limit" in one and "pids_limit" in one, f"{name} has no limits")
        expect(one.get("security_opt") == ["no-new-privileges:true"], f"{name} may gain privileges")
        expect(one["image"] == "matchpurse" or re.search(r":[\w.-]*\d", one["image"]), f"{name}: its image has no version")
        if name not in SERVERS:
            expect(one.get("read_only") is True and one.get("cap_drop") == ["ALL"], f"{name} is not confined")
        if one["image"] == "matchpurse":
            expect("user" not in one, f"{name} runs as somebody else than the image says")
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            expect(not source.startswith("/"), f"{name} mounts {source} of the machine")
            expect(not source.startswith("./") or volume.endswith(":ro"), f"{name} can write to {source}")
            expect(not source.startswith("./") or (ROOT / source).exists(), f"{name} mounts {source}, which is not there")


def in_order(compose: dict) -> None:
    done, healthy = {"condition": "service_completed_successfully"}, {"condition": "service_healthy"}
    expect(compose["services"]["migrate"]["depends_on"] == {"postgres": healthy}, "migrate does not wait for its database")
    for name in services():
        one = compose["services"][name]
        wanted = {"migrate": done} | ({} if name in WITHOUT_BROKER else {"rabbitmq": healthy})
        expect(one["depends_on"] == wanted, f"{name} waits for something else than what it needs")
        expect(one["command"] == [f"matchpurse-{name}"], f"{name} runs something else")
        expect(one["healthcheck"]["test"] == ["CMD", f"matchpurse-{name}", "healthcheck"], f"{name} has no health check")
    for name in SERVERS:
        expect("healthcheck" in compose["services"][name], f"{name} has no health check")


def secrets(compose: dict) -> None:
    files = {name: one["file"] for name, one in compose["secrets"].items()}
    for name, one in compose["services"].items():
        there = mounted(one)
        expect(set(there.values()) <= files.keys(), f"{name} has a secret that is not declared")
        for variable, value in one.get("environment", {}).items():
            for path in re.findall(r"/run/secrets/\w+", value):
                expect(path in there, f"{name}: {variable} names {path}, which is not mounted")
            secret = re.search("SECRET|TOKEN|PASSWORD|KEY|URL", variable) and not variable.endswith("__SCOPES")
            harmless = "/run/secrets/" in value or not re.search(r"://[^/]*:[^/]*@", value) and "URL" in variable
            expect(not secret or harmless, f"{name} has a secret in {variable}")
    used = {source for one in compose["services"].values() for source in mounted(one).values()}
    expect(used == files.keys(), f"nobody has the secrets {sorted(files.keys() - used)}")
    for name, path in files.items():
        expect((ROOT / path).is_file(), f"the secret {name} has no file {path}")
    below = {str(path.relative_to(ROOT)) for path in (ROOT / "deploy/secrets").rglob("*") if path.is_file()}
    unused = below - set(files.values()) - {"deploy/secrets/README.md"}
    expect(not unused, f"no secret of docker-compose.yml is {sorted(unused)}")


def login(compose: dict, service: str, secret: str) -> tuple[str | None, str | None]:
    """Whom the service is at a server, and by which password: the secret behind `/run/secrets/SECRET`."""
    source = mounted(compose["services"][service]).get(f"/run/secrets/{secret}")
    if source is None:
        return None, None
    url = urlsplit(text(compose["secrets"][source]["file"]).strip())
    return unquote(url.username or ""), unquote(url.password or "")


def logins(compose: dict) -> None:
    sql = dict(re.findall(r"^\\set (\w+) '([^']*)'$", text("deploy/secrets/postgres_logins"), re.MULTILINE))
    made = set(re.findall(r"^CREATE ROLE (\w+) LOGIN PASSWORD", text("deploy/postgres-service-roles.sql"), re.MULTILINE))
    expect(sql.keys() == made, f"postgres_logins does not have exactly the logins {sorted(made)}")
    broker = {one["name"]: one["password"] for one in json.loads(text("deploy/secrets/rabbitmq_users.json"))["users"]}
    users = {one["name"] for one in json.loads(text("deploy/rabbitmq-definitions.json"))["users"]}
    expect(broker.keys() == users, f"rabbitmq_users.json does not have exactly the users {sorted(users)}")
    cluster = yaml.safe_load(text("deploy/kubernetes/components/postgres/cluster.yaml"))["spec"]
    managed = {one["name"] for one in cluster["managed"]["roles"] if one["login"]}
    for name in services():
        role = name.replace("-", "_")
        expect(login(compose, name, "database_url") == (role, sql.get(role)), f"{name} logs in to the database as another")
        user = f"matchpurse-{name}"
        wanted = (None, None) if name in WITHOUT_BROKER else (user, broker.get(user))
        expect(login(compose, name, "broker_url") == wanted, f"{name} logs in to the broker as another")
        expect(role in managed, f"CloudNativePG makes no login {role}")
    expect(login(compose, "operator", "database_url") == ("operator", sql.get("operator")), "the operator is another")
    topology = ("matchpurse-topology", broker.get("matchpurse-topology"))
    expect(login(compose, "operator", "broker_url") == topology, "the operator cannot see to what is on the broker")
    owner = ("matchpurse", text("deploy/secrets/postgres_owner_password").strip())
    expect(login(compose, "migrate", "database_url") == owner, "who migrates does not own the database")
    toml = tomllib.loads(text("deploy/compose.toml"))
    expect(toml["broker"]["declare"] is False, "services declare, which their users may not")


def servers(compose: dict) -> None:
    command = compose["services"]["postgres"]["command"]
    ours = dict(argument.removeprefix("-c").split("=") for argument in command if argument.startswith("-c"))
    cluster = yaml.safe_load(text("deploy/kubernetes/components/postgres/cluster.yaml"))["spec"]["postgresql"]["parameters"]
    for where, settings in {"docker-compose.yml": ours, "CloudNativePG": cluster}.items():
        for name, value in POSTGRES.items():
            expect(settings.get(name) == value, f"PostgreSQL's {name} is {settings.get(name)} in {where}, not {value}")
        expect("shared_buffers" in settings, f"PostgreSQL has the smallest shared_buffers in {where}")
        off = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if settings.get(name, "on") != "on"]
        expect(not off, f"PostgreSQL answers before it has written, in {where}: {off}")
    plugins = text("deploy/rabbitmq/enabled_plugins")
    for plugin in ("rabbitmq_management", "rabbitmq_prometheus", "rabbitmq_consistent_hash_exchange"):
        expect(plugin in plugins, f"RabbitMQ has no {plugin}")


def scraped() -> None:
    """Prometheus asks each service where it answers."""
    toml = tomllib.loads(text("deploy/compose.toml"))
    jobs = yaml.safe_load(text("deploy/observability/prometheus.yml"))["scrape_configs"]
    targets = [target for job in jobs for one in job["static_configs"] for target in one["targets"]]
    for name in services():
        section = toml.get(name) or toml["workers"].get(name.replace("-", "_"), {})
        port = section.get("admin_listen", "").rpartition(":")[2]
        expect(f"{name}:{port}" in targets, f"Prometheus does not scrape {name}:{port}")


if __name__ == "__main__":
    document = interpolated(yaml.safe_load(text("docker-compose.yml")))
    everywhere(document)
    # The others look at each service.
    if not problems:
        for check in (published, confined, in_order, secrets, logins, servers):
            check(document)
        scraped()
    for problem in problems:
        print(f"docker-compose.yml: {problem}", file=sys.stderr)
    sys.exit(bool(problems))
