"""What the files of deploy/ say of one another: names, ports, labels, mounts and waits agree."""

import pathlib
import re
import sys
import tomllib

import yaml

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
FAULTS = []
CHECKED = 0


def check(holds, what):
    global CHECKED
    CHECKED += 1
    if not holds:
        FAULTS.append(what)


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text).group(1))


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def secret_files(value):
    """Every { file = "PATH" } of a configuration."""
    if isinstance(value, dict):
        return ([value["file"]] if "file" in value else []) + [f for v in value.values() for f in secret_files(v)]
    if isinstance(value, list):
        return [f for v in value for f in secret_files(v)]
    return []


def files_named(routes):
    tls = routes["server"]["tls"]
    return secret_files(routes) + [tls["certificate"], tls["private_key"]]


# ---- Kubernetes ----


def manifests(directory):
    kustomization = documents(directory / "kustomization.yaml")[0]
    found = []
    for resource in kustomization["resources"]:
        path = directory / resource
        found += manifests(path.resolve()) if path.is_dir() else documents(path)
    for patch in kustomization.get("patches", []):
        patch = yaml.safe_load(patch["patch"]) if "patch" in patch else documents(directory / patch["path"])[0]
        same = [m for m in found if (m["kind"], m["metadata"]["name"]) == (patch["kind"], patch["metadata"]["name"])]
        check(len(same) == 1, f"{directory.name}: a patch of {patch['kind']} that is there")
        if patch.get("$patch") == "delete":
            found.remove(same[0])
        else:
            same[0]["data"] |= patch["data"]
    return found


def kubernetes(directory, workload_kind):
    def say(what):
        return f"{directory.name}: {what}"

    found = manifests(directory)

    def one(kind, name="hookgate"):
        named = [m for m in found if (m["kind"], m["metadata"]["name"]) == (kind, name)]
        check(len(named) == 1, say(f"one {kind} {name}"))
        return named[0]

    workload = one(workload_kind)
    template = workload["spec"]["template"]
    pod, labels = template["spec"], template["metadata"]["labels"].items()
    container = pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    # What chooses pods chooses these.
    chosen = [one("Service")["spec"]["selector"], one("Service", "hookgate-admin")["spec"]["selector"]]
    chosen += [workload["spec"]["selector"]["matchLabels"], one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
    chosen += [s["labelSelector"]["matchLabels"] for s in pod.get("topologySpreadConstraints", [])]
    if workload_kind == "Deployment":
        budget = one("PodDisruptionBudget")["spec"]
        chosen.append(budget["selector"]["matchLabels"])
        check(budget["minAvailable"] < workload["spec"]["replicas"], say("a budget that lets a node be drained"))
    else:
        check(workload["spec"]["replicas"] == 1, say("one gateway on an embedded store"))
        one("Service", workload["spec"]["serviceName"])
    for selector in chosen:
        check(selector and selector.items() <= labels, say(f"{selector} chooses the pods"))

    # What names a port names one of the container's.
    targets = [p["targetPort"] for m in found if m["kind"] == "Service" for p in m["spec"]["ports"]]
    targets += [container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    targets += [p["port"] for rule in one("NetworkPolicy")["spec"]["ingress"] for p in rule["ports"]]
    for target in targets:
        check(target in ports, say(f"port {target} is the container's"))
    paths = {probe: container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    check(paths == {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}, say("probes of what they are for"))

    # The ServiceMonitor, for whose kind there is no schema here.
    monitor = one("ServiceMonitor")
    check(monitor["apiVersion"] == "monitoring.coreos.com/v1", say("the version of ServiceMonitor"))
    check(set(monitor["spec"]) == {"selector", "endpoints"}, say("the keys of ServiceMonitor"))
    admin = one("Service", "hookgate-admin")
    selector = monitor["spec"]["selector"]["matchLabels"].items()
    services = [m for m in found if m["kind"] == "Service" and selector <= m["metadata"]["labels"].items()]
    check(services == [admin], say("ServiceMonitor chooses the admin Service, and no other"))
    for endpoint in monitor["spec"]["endpoints"]:
        known = {"port", "path", "interval", "authorization"}
        check(set(endpoint) == known, say("the keys of an endpoint"))
        check(endpoint["port"] in [p["name"] for p in admin["spec"]["ports"]], say("the endpoint's port"))

    # routes.toml, and what it names.
    routes = tomllib.loads(one("ConfigMap")["data"]["routes.toml"])
    check(port_of(routes["server"]["listen"]) == ports["https"], say("server.listen is the port https"))
    check(port_of(routes["admin"]["listen"]) == ports["admin"], say("admin.listen is the port admin"))
    grace = seconds(routes["server"]["shutdown_grace"]) + container["lifecycle"]["preStop"]["sleep"]["seconds"]
    check(pod["terminationGracePeriodSeconds"] > grace, say("room to stop"))
    secret = documents(DEPLOY / "kubernetes/secret.yaml")[0]
    check(not any(secret["stringData"].values()), "kubernetes/secret.yaml: no values")
    there = {"hookgate": secret["stringData"], "hookgate-tls": ["tls.crt", "tls.key"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    check(not any("subPath" in mount for mount in mounts.values()), say("mounts that follow changes"))
    for path in map(pathlib.PurePosixPath, files_named(routes)):
        volume = volumes.get(mounts.get(str(path.parent), {}).get("name"), {})
        name = volume.get("secret", {}).get("secretName")
        check(path.name in there.get(name, []), say(f"{path} comes from a secret"))
    token = monitor["spec"]["endpoints"][0]["authorization"]["credentials"]
    check(token["key"] in there.get(token["name"], []), say("the token that Prometheus shows"))
    config = container["args"][container["args"].index("--config") + 1]
    check(str(pathlib.PurePosixPath(config).parent) in mounts, say("routes.toml is mounted"))
    claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
    for mount in mounts.values():
        check(mount["name"] in [*volumes, *claims], say(f"the volume {mount['name']}"))
    url = routes["store"]["url"]
    if isinstance(url, str):
        kept = mounts.get(url.removeprefix("file:"), {}).get("name")
        check(kept in claims, say("the store lies on the claimed volume"))

    # Restricted, as the namespace asks for it.
    check(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 65532, say("the user"))
    context = container["securityContext"]
    check(context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], say("privileges"))
    check(context["capabilities"] == {"drop": ["ALL"]}, say("capabilities"))


# ---- Compose ----


def compose():
    stack = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services, secrets, volumes = stack["services"], stack["secrets"], stack["volumes"]
    routes = tomllib.loads((DEPLOY / "config/routes.toml").read_text())
    gateways = [name for name in services if name.startswith("gateway-")]
    check(len(gateways) == 2, "compose: two gateways")
    published = [port for name in gateways for port in services[name]["ports"]]
    check(len(set(published)) == 2, "compose: a port each")
    for name, service in services.items():
        for needed in service.get("depends_on", {}).items():
            other, condition = needed[0], needed[1]["condition"]
            check(other in services, f"compose: {name} waits for {other}")
            healthy = condition == "service_healthy"
            check(not healthy or "healthcheck" in services[other], f"compose: {other} can become healthy")
        for secret in service.get("secrets", []):
            check(secret in secrets, f"compose: the secret {secret}")
        for source, *_ in (volume.split(":") for volume in service.get("volumes", [])):
            held = (DEPLOY / source).exists() if source.startswith("./") else source in volumes
            check(held, f"compose: {name} mounts {source}")
    for name in gateways:
        service = services[name]
        for port in service["ports"]:
            check(int(port.split(":")[1]) == port_of(routes["server"]["listen"]), f"compose: the port of {name}")
        check(
            seconds(service["stop_grace_period"]) > seconds(routes["server"]["shutdown_grace"]),
            f"compose: {name} has time to stop",
        )
        check(service["read_only"] and service["cap_drop"] == ["ALL"], f"compose: {name} is shut in")
        mounted = [volume.split(":")[1] for volume in service["volumes"]]
        for path in map(pathlib.PurePosixPath, files_named(routes)):
            is_secret = str(path.parent) == "/run/secrets" and path.name in service["secrets"]
            check(is_secret or str(path.parent) in mounted, f"compose: {name} has {path}")
    host, port = routes["store"]["url"].removeprefix("redis://").split(":")
    check(host in services and port == "6379", "compose: store.url is the service redis")
    for target in routes["targets"].values():
        host, port = re.fullmatch(r"http://([^/:]+):(\d+)/.*", target["url"]).groups()
        check(host in services, f"compose: the target {host}")
        listen = services[host]["command"]
        check(port_of(listen[listen.index("--listen") + 1]) == int(port), f"compose: the port of {host}")
    for source in secrets.values():
        check(source["file"].startswith("./secrets/"), "compose: secrets lie in the directory that git does not see")
    check("/secrets" in (DEPLOY / ".gitignore").read_text().split(), "deploy/.gitignore names secrets")

    prometheus = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    scraped = [t for job in prometheus["scrape_configs"] for c in job["static_configs"] for t in c["targets"]]
    admin = port_of(routes["admin"]["listen"])
    check(sorted(scraped) == [f"{name}:{admin}" for name in gateways], "prometheus: each gateway is scraped")
    for job in prometheus["scrape_configs"]:
        token = pathlib.PurePosixPath(job["authorization"]["credentials_file"])
        check(token.name in services["prometheus"]["secrets"], "prometheus: the token")
    for rules in prometheus["rule_files"]:
        check((DEPLOY / "prometheus" / rules).is_file(), f"prometheus: {rules}")
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    check(source["url"] == "http://prometheus:9090" and "prometheus" in services, "grafana: the data source")
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/hookgate.yml").read_text())["providers"][0]
    dashboards = provider["options"]["path"]
    mounted = [pathlib.PurePosixPath(volume.split(":")[1]) for volume in services["grafana"]["volumes"]]
    check(any(str(path.parent) == dashboards for path in mounted), "grafana: the dashboard is where it is looked for")


# ---- The image ----


def image():
    text = (DEPLOY / "Dockerfile").read_text()
    user = re.search(r"^USER (\d+):(\d+)$", text, re.M)
    check(user and user.group(1) != "0", "Dockerfile: a user by number, not root")
    check("STOPSIGNAL SIGTERM" in text and 'CMD ["/usr/local/bin/hookgate", "health"' in text, "Dockerfile: stop, health")
    allowed = re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.M)
    copied = [
        word.removeprefix("./")
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M)
        for word in line.split()[:-1]
    ]
    check(sorted(copied) == sorted(allowed), f"Dockerfile.dockerignore lets in what is copied: {copied}, {allowed}")
    cargo = tomllib.loads((DEPLOY.parent / "Cargo.toml").read_text())
    version = f'image.version="{cargo["package"]["version"]}"'
    check(version in text, "Dockerfile: the version is Cargo.toml's")
    release = ".".join(cargo["package"]["rust-version"].split(".")[:2])
    check(f"FROM rust:{release}-" in text, "Dockerfile: the compiler that Cargo.toml asks for")


# ---- systemd ----


def unit():
    lines = (DEPLOY / "hookgate.service").read_text().splitlines()
    said = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w+=", line))
    check(said["Restart"] == "on-failure" and said["RestartPreventExitStatus"] == "64", "unit: what is tried again")
    check(said["StartLimitIntervalSec"] == "0", "unit: it is tried for as long as the store is away")
    routes = tomllib.loads((DEPLOY / "config/routes.toml").read_text())
    grace = seconds(routes["server"]["shutdown_grace"])
    check(int(said["TimeoutStopSec"]) > grace, "unit: time to stop")


kubernetes(DEPLOY / "kubernetes", "Deployment")
kubernetes(DEPLOY / "kubernetes-embedded", "StatefulSet")
compose()
image()
unit()
check(CHECKED > 150, f"only {CHECKED} things checked")
if FAULTS:
    sys.exit("deploy/ does not agree:\n  " + "\n  ".join(FAULTS))
print(f"deploy/: {CHECKED} things agree")
