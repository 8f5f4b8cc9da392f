"""Starts a gateway with something to tell of, and has schemathesis ask it: api.py PROGRAM"""

import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOKEN = "a-token-of-the-checks"
SEED = "20260520"
EXAMPLES = "40"
# Every check that schemathesis has, but of object levels: each token sees everything.
LEFT_OUT = "object_level_authorization"

ROUTES = """
[server]
listen = "127.0.0.1:{public}"

[admin]
listen = "127.0.0.1:{admin}"
token = {{ env = "CHECKS_TOKEN" }}

[store]
url = "file:data"

[targets.crm]
url = "http://127.0.0.1:{receiver}/hooks"
allow_private = true

[targets.gone]
url = "http://127.0.0.1:{receiver}/gone"
allow_private = true

[routes.orders]
path = "/orders"
provider = "github"
secrets = [{{ env = "ORDERS_SECRET" }}]
deliver = ["crm", "gone"]

[routes.asana]
path = "/asana"
provider = "asana"
secrets = [{{ handshake = true }}]
deliver = []

[routes.notion]
path = "/notion"
provider = "notion"
secrets = [{{ handshake = true }}]
deliver = []
"""


# Names that exist, half of the time.
SETTINGS = """
hooks = "{hooks}"

[dictionaries]
uids = {{ values = {uids} }}
targets = {{ values = ["crm", "gone"] }}
routes = {{ values = ["asana", "notion"] }}

[parameters]
"path.uid" = {{ dictionary = "uids", probability = 0.5 }}
"path.name" = {{ dictionary = "targets", probability = 0.5 }}
"path.route" = {{ dictionary = "routes", probability = 0.5 }}
"""


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what comes, but what is sent to /gone."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(410 if self.path == "/gone" else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def ask(port, path):
    """Status and JSON; status 0 while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        body = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(body) if is_json else None
    except OSError:
        return 0, None
    finally:
        connection.close()


def wait_for(what, until):
    for _ in range(600):
        if until():
            return
        time.sleep(0.1)
    sys.exit(f"waited in vain for {what}")


def fill(program, directory, environment, admin, public):
    """Events of all kinds, refused requests, a secret from a handshake and a replay."""

    def send(*arguments, code=0):
        command = [program, "send", "--route", "orders", *arguments]
        sent = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
        if sent.returncode != code:
            sys.exit(f"{arguments}: {sent.stdout}{sent.stderr}")

    send("--count", "12")
    send("--id", "twice", "--duplicate")
    send("--count", "3", "--bad-signature", code=1)
    handshake = ["-k", "--data", "{}", "--header", "Content-Type: application/json"]
    handshake += ["--header", "X-Hook-Secret: a-secret-of-asana"]
    curl = ["curl", "--silent", "--fail", *handshake, f"https://127.0.0.1:{public}/asana"]
    subprocess.run(curl, check=True)
    settled = lambda state: len(ask(admin, f"/api/v1/events?state={state}")[1]["events"]) == 13
    wait_for("deliveries", lambda: settled("delivered"))
    wait_for("dead letters", lambda: settled("dead"))


def check(directory, admin):
    """The exit code of schemathesis."""
    events = ask(admin, "/api/v1/events?limit=5")[1]["events"]
    uids = json.dumps([event["uid"] for event in events])
    hooks = pathlib.Path(__file__).with_name("hooks.py").resolve()
    settings = SETTINGS.format(uids=uids, hooks=hooks)
    (pathlib.Path(directory) / "schemathesis.toml").write_text(settings)
    tools = pathlib.Path(sys.executable).parent
    command = [
        tools / "schemathesis",
        "run",
        f"http://127.0.0.1:{admin}/api/v1/openapi.json",
        *("--header", f"Authorization: Bearer {TOKEN}"),
        *("--checks", "all", "--exclude-checks", LEFT_OUT),
        *("--seed", SEED, "--max-examples", EXAMPLES, "--generation-database", "none"),
        *("--request-timeout", "20", "--continue-on-failure", "--no-color"),
    ]
    return subprocess.run(command, cwd=directory).returncode


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    public, admin = free_ports(2)
    environment = {
        **os.environ,
        "CHECKS_TOKEN": TOKEN,
        "ORDERS_SECRET": "a-secret-of-orders",
    }
    with tempfile.TemporaryDirectory() as directory:
        settings = {"public": public, "admin": admin, "receiver": receiver.server_port}
        (pathlib.Path(directory) / "routes.toml").write_text(ROUTES.format(**settings))
        with open(f"{directory}/log", "w") as log:
            gateway = subprocess.Popen([program, "serve"], cwd=directory, env=environment, stderr=log)
        try:
            wait_for("the gateway", lambda: ask(admin, "/readyz")[0] == 200)
            fill(program, directory, environment, admin, public)
            result = check(directory, admin)
            if gateway.poll() is not None:
                sys.exit(pathlib.Path(f"{directory}/log").read_text())
        finally:
            gateway.terminate()
            gateway.wait(60)
    sys.exit(result)


main()
