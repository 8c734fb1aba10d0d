"""Runs the AWS CLI and trainyard with the same configuration, and compares their requests.

usage: aws_cli.py TRAINYARD GROUP
Each case has environment variables and configuration files. Both programs talk to a server that
records requests: the host, the region and the access key of the signature, the number of attempts.
Prints the cases that differ; exit code 1 if any does. Importing the AWS CLI takes most of its time,
so one process imports it and forks for every case.
"""

import concurrent.futures
import dataclasses
import hashlib
import http.server
import json
import multiprocessing
import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import threading

EXPIRY = "2099-01-01T00:00:00Z"
LIST = ("sagemaker list-training-jobs", "list --json")
BUCKET = ("s3api head-bucket --bucket bucket", "download s3://bucket/key out")


@dataclasses.dataclass
class Case:
    """`{url}` in any text is the server's URL, `{port}` its port, `{home}` the home folder."""

    name: str
    config: str = "[default]\nregion = eu-west-1\n"
    keys: str = "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = x\n"
    env: dict = dataclasses.field(default_factory=dict)
    # Variables of the CLI instead, where version 1 does not read what version 2 and the SDKs do.
    cli_env: dict | None = None
    # Options of both programs.
    options: str = ""
    # Arguments of the AWS CLI and of trainyard.
    commands: tuple = LIST
    # The server's URL is set as AWS_ENDPOINT_URL.
    endpoint: bool = True
    # The server answers requests to SageMaker with this status.
    fail: int = 200
    tls: bool = False


class Recorder(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, case, certificates):
        super().__init__(("127.0.0.1", 0), Handler)
        self.case, self.seen = case, []
        scheme = "https" if case.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server_port}"
        if case.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request, address):
        """A client that refuses the certificate closes the connection."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_any(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            raise ValueError("a chunked request")
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        status, answer = self.answer(body)
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        if self.command == "PUT":
            self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.encode())

    do_GET = do_POST = do_PUT = do_HEAD = handle_any

    def do_CONNECT(self):
        self.record(f"CONNECT {self.path}")
        self.send_error(403)

    def record(self, text):
        self.server.seen.append(text.replace(str(self.server.server_port), "PORT"))

    def answer(self, body):
        """Returns status and text."""
        signed = re.search(
            r"Credential=(\w+)/\d+/([\w-]+)/(\w+)/", self.headers.get("authorization", "")
        )
        proxied = "proxy " if self.path.startswith("http") else ""
        if signed or "WebIdentity" in body:
            key, region, service = signed.groups() if signed else ("unsigned", "", "sts")
            path = re.sub(r"^http://[^/]*", "", self.path).split("?")[0]
            style = "path" if path.startswith("/bucket") else ""
            host = self.headers["host"]
            self.record(f"{proxied}{host} {service} {region} {key} {style}".strip())
            if service == "sagemaker" and self.server.case.fail != 200:
                code = "ThrottlingException" if self.server.case.fail == 400 else "Internal"
                return self.server.case.fail, json.dumps({"__type": code, "message": "no"})
            return 200, token(body) if service == "sts" else jobs(service)
        credentials = {"AccessKeyId": "AKIA", "SecretAccessKey": "x", "Token": "t"}
        if "/security-credentials/" in self.path and not self.path.endswith("/"):
            if self.server.case.fail != 200:
                self.record("metadata")
                return self.server.case.fail, ""
            more = {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2020-01-01T00:00:00Z"}
            credentials["AccessKeyId"] += "MACHINE"
            return 200, json.dumps({**credentials, **more, "Expiration": EXPIRY})
        if self.path.startswith("/creds"):
            authorization = self.headers.get("authorization", "")
            credentials["AccessKeyId"] += "CONTAINER" + authorization
            return 200, json.dumps({**credentials, "Expiration": EXPIRY})
        if self.path.startswith("/federation/credentials"):
            role = {"accessKeyId": "AKIASSO", "secretAccessKey": "x", "sessionToken": "t"}
            return 200, json.dumps({"roleCredentials": {**role, "expiration": 4070908800000}})
        if self.path.endswith("/security-credentials/"):
            return 200, "role"
        return 200, "token"


def token(body):
    """Response of AssumeRole; the key is that of the role in the request."""
    operation = re.search(r"Action=(\w+)", body)[1]
    role = re.search(r"role%2F(\w+)", body)[1].upper()
    keys = (
        f"<AccessKeyId>AKIA{role}</AccessKeyId><SecretAccessKey>x</SecretAccessKey>"
        f"<SessionToken>t</SessionToken><Expiration>{EXPIRY}</Expiration>"
    )
    return (
        f'<{operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<{operation}Result><Credentials>{keys}</Credentials></{operation}Result>"
        f"</{operation}Response>"
    )


def jobs(service):
    return '{"TrainingJobSummaries": []}' if service == "sagemaker" else ""


def certificates(folder):
    """Makes `ca.pem`, `leaf.pem` for 127.0.0.1, signed by it, and `other.pem`."""
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    for command in [
        f"req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        f"req -x509 {key} -days 2 -subj /CN=other -keyout other.key -out other.pem",
        f"req {key} -subj /CN=leaf -keyout leaf.key -out leaf.csr",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san"
        " -out leaf.pem",
    ]:
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def sso_login(folder):
    """Writes a login for the profiles with an SSO session `login`, or with a start URL."""
    cache = folder / ".aws/sso/cache"
    cache.mkdir(parents=True)
    for name in ["login", "https://start"]:
        path = cache / (hashlib.sha1(name.encode()).hexdigest() + ".json")
        values = {"startUrl": "https://start", "region": "eu-west-1", "accessToken": "token"}
        path.write_text(json.dumps({**values, "expiresAt": EXPIRY}))


def aws(arguments, env, home):
    """The AWS CLI, in a process of its own."""
    os.chdir(home)
    # Set when the AWS CLI is imported.
    data = {"AWS_DATA_PATH": os.environ["AWS_DATA_PATH"]}
    os.environ.clear()
    os.environ.update(env | data)
    output = os.open("stderr", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["aws", *arguments]
    from awscli.clidriver import main

    code = 1
    try:
        code = main()
    finally:
        # Threads of the parent may take the exit code from each other.
        pathlib.Path("code").write_text(str(code))


def run(case, trainyard, variables, certificates):
    """Runs trainyard, or the AWS CLI if it is None. Returns success, requests and output."""
    server = Recorder(case, certificates)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        home = pathlib.Path(home)

        def fill(text):
            text = text.replace("{url}", server.url).replace("{home}", str(home))
            text = text.replace("{port}", str(server.server_port))
            return text.replace("{certificates}", str(certificates))

        sso_login(home)
        (home / ".aws/config").write_text(fill(case.config))
        (home / ".aws/credentials").write_text(fill(case.keys))
        (home / "other").write_text("[default]\nregion = sa-east-1\n")
        (home / "otherkeys").write_text(case.keys.replace("DEFAULT", "OTHER"))
        (home / "token").write_text("token")
        keys = {"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "x"}
        (home / "process").write_text(f"echo '{json.dumps(keys)}'")
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}
        if case.endpoint:
            env["AWS_ENDPOINT_URL"] = server.url
        env |= {name: fill(value) for name, value in variables.items()}
        options = fill(case.options).split()
        if trainyard is None:
            arguments = [*case.commands[0].split(), *options]
            process = FORKS.Process(target=aws, args=(arguments, env, home))
            process.start()
            process.join(120)
            code, output = int((home / "code").read_text()), (home / "stderr").read_text()
        else:
            command = [trainyard, *case.commands[1].split(), *options]
            result = subprocess.run(
                command, cwd=home, env=env, capture_output=True, text=True, timeout=120
            )
            code, output = result.returncode, result.stderr
    server.shutdown()
    server.server_close()
    return code == 0, server.seen, output


def compare(case, trainyard, certificates):
    """Returns a description of the difference, or None."""
    cli = run(case, None, case.env if case.cli_env is None else case.cli_env, certificates)
    own = run(case, trainyard, case.env, certificates)
    # The commands on a bucket send different requests to the same place.
    kind = set if case.commands == BUCKET else list
    # What a download makes of the answer is not compared.
    same = case.commands == BUCKET or cli[0] == own[0]
    if same and kind(cli[1]) == kind(own[1]):
        return None
    return f"{case.name}:\n  AWS CLI: {cli}\n  trainyard: {own}"


KEYS = "aws_access_key_id = AKIA{}\naws_secret_access_key = x\n"
TWO = "[default]\n" + KEYS.format("DEFAULT") + "[b]\n" + KEYS.format("B")
REGION = "region = eu-west-1\n"
PROFILES = f"[default]\n{REGION}[profile b]\nregion = eu-west-3\n"
ENV = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "x"}
ROLE = "role_arn = arn:aws:iam::123456789012:role/{}\n"
METADATA = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}"}
OWN_SERVICES = f"[default]\n{REGION}services = own\n[services own]\n"
# No endpoint is set: the proxy shows the host.
CONNECT = {"HTTPS_PROXY": "{url}", "AWS_MAX_ATTEMPTS": "1"}


def default(*lines):
    """The default profile with a region."""
    return f"[default]\n{REGION}" + "".join(line + "\n" for line in lines)


GROUPS = {
    "profile_and_region": [
        Case("defaults"),
        Case("AWS_PROFILE", PROFILES, TWO, {"AWS_PROFILE": "b"}),
        Case("AWS_DEFAULT_PROFILE", PROFILES, TWO, {"AWS_DEFAULT_PROFILE": "b"}),
        Case(
            "both profiles", PROFILES, TWO, {"AWS_PROFILE": "default", "AWS_DEFAULT_PROFILE": "b"}
        ),
        Case("--profile", PROFILES, TWO, {**ENV, "AWS_PROFILE": "b"}, options="--profile default"),
        Case("profile and keys", PROFILES, TWO, {**ENV, "AWS_PROFILE": "b"}),
        Case("unknown profile", PROFILES, TWO, {"AWS_PROFILE": "c"}),
        Case("AWS_DEFAULT_REGION", env={"AWS_DEFAULT_REGION": "us-west-2"}),
        Case(
            "AWS_REGION",
            env={"AWS_REGION": "us-west-1", "AWS_DEFAULT_REGION": "us-west-2"},
            cli_env={"AWS_DEFAULT_REGION": "us-west-1"},
        ),
        Case("--region", env={"AWS_DEFAULT_REGION": "us-west-2"}, options="--region ca-central-1"),
        Case("no region", "[default]\n"),
        Case("AWS_CONFIG_FILE", env={"AWS_CONFIG_FILE": "{home}/other"}),
        Case("AWS_CONFIG_FILE with ~", env={"AWS_CONFIG_FILE": "~/other"}),
        Case("AWS_CONFIG_FILE with $HOME", env={"AWS_CONFIG_FILE": "$HOME/other"}),
        Case("AWS_SHARED_CREDENTIALS_FILE", env={"AWS_SHARED_CREDENTIALS_FILE": "~/otherkeys"}),
        Case("no config file", env={"AWS_CONFIG_FILE": "none", "AWS_DEFAULT_REGION": "us-west-2"}),
        Case("keys in capitals, colon", "[default]\nRegion: eu-west-2\n"),
        Case("comments", "# a\n; b\n[default] ; c\n  # d\nregion = eu-west-2\n"),
        Case("comment after a value", "[default]\nregion = eu-west-2 # here\n"),
        Case("empty value", "[default]\nregion =\n", env={"AWS_DEFAULT_REGION": "us-west-2"}),
        Case("[profile default]", "[profile default]\nregion = eu-west-2\n"),
        Case("both defaults", "[profile default]\nregion = eu-west-2\n" + default()),
        Case("both defaults, other order", default() + "[profile default]\nregion = eu-west-2\n"),
        Case("profile without prefix", "[b]\nregion = eu-west-2\n", TWO, {"AWS_PROFILE": "b"}),
        Case("quoted profile", '[profile "b"]\nregion = eu-west-2\n', TWO, {"AWS_PROFILE": "b"}),
        Case("section twice", default() + "[default]\nregion = eu-west-2\n"),
        Case("key twice", default("region = eu-west-2")),
        Case("line without value", default("nothing")),
        Case("key before section", REGION + default()),
        Case("region in the credentials file", "[default]\n", TWO.replace("[b]", REGION + "[b]")),
    ],
    "endpoint": [
        Case("in the profile", default("endpoint_url = {url}"), endpoint=False),
        Case(
            "service before profile",
            OWN_SERVICES.replace(REGION, REGION + "endpoint_url = http://127.0.0.1:1\n")
            + "sagemaker =\n  endpoint_url = {url}\n",
            endpoint=False,
        ),
        Case(
            "environment before service",
            OWN_SERVICES + "sagemaker =\n  endpoint_url = http://127.0.0.1:1\n",
        ),
        Case(
            "AWS_ENDPOINT_URL_SAGEMAKER",
            env={"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_SAGEMAKER": "{url}"},
        ),
        Case(
            "AWS_ENDPOINT_URL_S3",
            env={"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "{url}"},
            commands=BUCKET,
        ),
        Case(
            "s3 section",
            OWN_SERVICES + "s3 =\n  endpoint_url = {url}\n",
            endpoint=False,
            commands=BUCKET,
        ),
        Case("missing services section", default("services = own"), endpoint=False),
        Case(
            "ignored",
            env={
                **CONNECT,
                "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
                "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
            },
        ),
        Case(
            "ignored by the profile",
            default("ignore_configured_endpoint_urls = true", "endpoint_url = http://127.0.0.1:1"),
            env=CONNECT,
            endpoint=False,
        ),
        Case(
            "option is not ignored",
            env={"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            options="--endpoint-url {url}",
        ),
        Case("default host", env=CONNECT, endpoint=False),
        Case("host in China", env={**CONNECT, "AWS_DEFAULT_REGION": "cn-north-1"}, endpoint=False),
        Case("FIPS", env={**CONNECT, "AWS_USE_FIPS_ENDPOINT": "true"}, endpoint=False),
        Case(
            "FIPS in the profile", default("use_fips_endpoint = True"), env=CONNECT, endpoint=False
        ),
        Case("dual-stack", env={**CONNECT, "AWS_USE_DUALSTACK_ENDPOINT": "true"}, endpoint=False),
        Case(
            "dual-stack in the profile",
            default("use_dualstack_endpoint = true"),
            env=CONNECT,
            endpoint=False,
        ),
        Case("S3 host", env=CONNECT, endpoint=False, commands=BUCKET),
        Case(
            "S3 dual-stack",
            default("s3 =", "  use_dualstack_endpoint = true"),
            env=CONNECT,
            endpoint=False,
            commands=BUCKET,
        ),
        Case(
            "S3 path style",
            default("s3 =", "  addressing_style = path"),
            env=CONNECT,
            endpoint=False,
            commands=BUCKET,
        ),
        Case(
            "S3 virtual hosts",
            default("s3 =", "  addressing_style = virtual"),
            env={"HTTP_PROXY": "{url}", "AWS_ENDPOINT_URL": "http://s3.invalid"},
            commands=BUCKET,
        ),
        Case(
            "S3 accelerate",
            default("s3 =", "  use_accelerate_endpoint = true"),
            env=CONNECT,
            endpoint=False,
            commands=BUCKET,
        ),
        Case(
            "S3 in us-east-1",
            env={**CONNECT, "AWS_DEFAULT_REGION": "us-east-1"},
            cli_env={
                **CONNECT,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "regional",
            },
            endpoint=False,
            commands=BUCKET,
        ),
        Case("endpoint and FIPS", env={"AWS_USE_FIPS_ENDPOINT": "true"}),
        Case("FIPS is no boolean", env={**CONNECT, "AWS_USE_FIPS_ENDPOINT": "1"}, endpoint=False),
    ],
    "credentials": [
        Case("environment", env=ENV),
        Case("credentials before config", default(KEYS.format("CONFIG"))),
        Case("keys in the config file", default(KEYS.format("CONFIG")), ""),
        Case("no keys", keys=""),
        Case("half a pair", keys="", env={"AWS_ACCESS_KEY_ID": "AKIAENV"}),
        Case("half a pair in the file", keys="[default]\naws_access_key_id = AKIAHALF\n"),
        Case("half a pair before the file", env={"AWS_ACCESS_KEY_ID": "AKIAENV"}),
        Case("empty AWS_ACCESS_KEY_ID", env={"AWS_ACCESS_KEY_ID": ""}),
        Case("role", default(ROLE.format("a"), "source_profile = b"), TWO),
        Case(
            "roles in a chain",
            default(ROLE.format("a"), "source_profile = b")
            + "[profile b]\n"
            + ROLE.format("b")
            + "source_profile = c\n",
            TWO.replace("[b]", "[c]"),
        ),
        Case("role of itself", default(ROLE.format("a"), "source_profile = default")),
        Case("role without source", default(ROLE.format("a")), ""),
        Case("role of an absent source", default(ROLE.format("a"), "source_profile = c")),
        Case(
            "credential_source Environment",
            default(ROLE.format("a"), "credential_source = Environment"),
            "",
            env={**ENV, "AWS_PROFILE": "default"},
            options="--profile default",
        ),
        Case(
            "credential_source EcsContainer",
            default(ROLE.format("a"), "credential_source = EcsContainer"),
            "",
            env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/creds"},
        ),
        Case(
            "credential_source Ec2InstanceMetadata",
            default(ROLE.format("a"), "credential_source = Ec2InstanceMetadata"),
            "",
            env=METADATA,
        ),
        Case(
            "credential_source is wrong",
            default(ROLE.format("a"), "credential_source = Nowhere"),
            "",
        ),
        Case("credential_process", default("credential_process = sh {home}/process"), ""),
        Case("credential_process fails", default("credential_process = false"), ""),
        Case(
            "web identity in the environment",
            env={
                "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
                "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/web",
            },
            keys="",
        ),
        Case(
            "web identity before keys",
            env={
                "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
                "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/web",
            },
        ),
        Case(
            "web identity in the profile",
            default(ROLE.format("web"), "web_identity_token_file = {home}/token"),
            "",
        ),
        Case(
            "web identity as source",
            default(ROLE.format("a"), "source_profile = b")
            + "[profile b]\n"
            + ROLE.format("web")
            + "web_identity_token_file = {home}/token\n",
            "",
        ),
        Case(
            "SSO session",
            default("sso_session = login", "sso_account_id = 1", "sso_role_name = r")
            + "[sso-session login]\nsso_region = eu-west-1\nsso_start_url = https://start\n",
            "",
        ),
        Case(
            "SSO without session",
            default(
                "sso_region = eu-west-1",
                "sso_start_url = https://start",
                "sso_account_id = 1",
                "sso_role_name = r",
            ),
            "",
        ),
        Case(
            "SSO without login",
            default(
                "sso_region = eu-west-1",
                "sso_start_url = https://other",
                "sso_account_id = 1",
                "sso_role_name = r",
            ),
            "",
        ),
        Case("container", keys="", env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/creds"}),
        Case(
            "container with a token",
            keys="",
            env={
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/creds",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "T0KEN",
            },
        ),
        Case(
            "container with a token file",
            keys="",
            env={
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/creds",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/token",
            },
        ),
        Case("machine", keys="", env=METADATA),
        Case(
            "machine, endpoint in the profile",
            default("ec2_metadata_service_endpoint = {url}"),
            "",
            env={"AWS_EC2_METADATA_DISABLED": "false"},
        ),
        Case("machine disabled", keys="", env={**METADATA, "AWS_EC2_METADATA_DISABLED": "True"}),
        Case(
            "machine fails twice",
            keys="",
            env={**METADATA, "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "2"},
            fail=500,
        ),
        Case(
            "machine fails twice by the profile",
            default("metadata_service_num_attempts = 2"),
            "",
            env=METADATA,
            fail=500,
        ),
    ],
    "retries": [
        Case("AWS_MAX_ATTEMPTS", env={"AWS_MAX_ATTEMPTS": "2"}, fail=500),
        Case("max_attempts", default("max_attempts = 3"), fail=500),
        Case(
            "variable before key",
            default("max_attempts = 3"),
            env={"AWS_MAX_ATTEMPTS": "1"},
            fail=500,
        ),
        Case("throttling", env={"AWS_MAX_ATTEMPTS": "2"}, fail=400),
        Case("standard", env={"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "2"}, fail=503),
        Case("standard without a number", env={"AWS_RETRY_MODE": "standard"}, fail=503),
        Case("adaptive", default("retry_mode = adaptive", "max_attempts = 2"), fail=503),
        Case("legacy", default("retry_mode = legacy", "max_attempts = 2"), fail=503),
        Case("unknown mode", default("retry_mode = hard"), fail=503),
        Case("defaults", fail=503),
        Case("no attempts", env={"AWS_MAX_ATTEMPTS": "0"}, fail=503),
        Case("not a number", env={"AWS_MAX_ATTEMPTS": "x"}, fail=503),
        Case("not retried", env={"AWS_MAX_ATTEMPTS": "3"}, fail=404),
    ],
    "tls_and_proxy": [
        Case("unknown authority", env={"AWS_MAX_ATTEMPTS": "1"}, tls=True),
        Case("AWS_CA_BUNDLE", env={"AWS_CA_BUNDLE": "{certificates}/ca.pem"}, tls=True),
        Case("ca_bundle", default("ca_bundle = {certificates}/ca.pem"), tls=True),
        Case(
            "variable before key",
            default("ca_bundle = {certificates}/ca.pem"),
            env={"AWS_CA_BUNDLE": "{certificates}/other.pem", "AWS_MAX_ATTEMPTS": "1"},
            tls=True,
        ),
        Case("REQUESTS_CA_BUNDLE", env={"REQUESTS_CA_BUNDLE": "{certificates}/ca.pem"}, tls=True),
        Case("missing bundle", env={"AWS_CA_BUNDLE": "nowhere.pem"}, tls=True),
        Case("HTTP_PROXY", env={"HTTP_PROXY": "{url}", "AWS_ENDPOINT_URL": "http://s.invalid"}),
        Case("http_proxy", env={"http_proxy": "{url}", "AWS_ENDPOINT_URL": "http://s.invalid"}),
        Case(
            "both cases",
            env={
                "http_proxy": "{url}",
                "HTTP_PROXY": "http://127.0.0.1:1",
                "AWS_ENDPOINT_URL": "http://s.invalid",
            },
        ),
        Case("https_proxy", env={"https_proxy": "{url}", "AWS_MAX_ATTEMPTS": "1"}, endpoint=False),
        Case(
            "proxy without scheme",
            env={"HTTPS_PROXY": "127.0.0.1:{port}", "AWS_MAX_ATTEMPTS": "1"},
            endpoint=False,
        ),
        Case("ALL_PROXY", env={"ALL_PROXY": "http://127.0.0.1:1"}),
        Case("HTTPS_PROXY for http", env={"HTTPS_PROXY": "http://127.0.0.1:1"}),
        Case("NO_PROXY", env={"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"}),
        Case("no_proxy", env={"HTTP_PROXY": "http://127.0.0.1:1", "no_proxy": "a, 127.0.0.1"}),
        Case("NO_PROXY *", env={"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "*"}),
        Case(
            "NO_PROXY domain",
            env={
                "HTTP_PROXY": "{url}",
                "NO_PROXY": ".invalid",
                "AWS_ENDPOINT_URL": "http://s.invalid",
                "AWS_MAX_ATTEMPTS": "1",
            },
        ),
        Case(
            "NO_PROXY other domain",
            env={
                "HTTP_PROXY": "{url}",
                "NO_PROXY": "valid",
                "AWS_ENDPOINT_URL": "http://s.invalid",
                "AWS_MAX_ATTEMPTS": "1",
            },
        ),
    ],
}


FORKS = multiprocessing.get_context("forkserver")


def main():
    trainyard, group = sys.argv[1:]
    cases = GROUPS[group]
    # The AWS CLI finds the home folder when it is imported: here it is the folder of the case.
    os.environ["HOME"] = "."
    FORKS.set_forkserver_preload(["awscli.clidriver", "awscli.handlers", "botocore.httpsession"])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        certificates(folder)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = list(pool.map(lambda case: compare(case, trainyard, folder), cases))
    different = [text for text in found if text]
    print(*different, sep="\n")
    print(f"{len(cases)} cases, {len(different)} differ")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
