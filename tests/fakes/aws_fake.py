#!/usr/bin/env python3
"""Fakes of the services that hand out AWS credentials: STS, SSO portal, container, IMDSv2.

Started by test_credentials*.c. Prints its port, then obeys one command a line on standard input and
answers one line each:

    set NAME VALUE   a setting below
    reset            settings and counters as at the start
    count NAME       requests of a service so far
    last NAME        what the last request of a service asked for

Ends with its standard input. Standard library only; signatures are checked with code of its own.
"""

import hashlib
import hmac
import http.server
import json
import sys
import threading
import time
import urllib.parse

DEFAULTS = {
    "expires_in": "3600",  # seconds; of everything that is handed out
    "fixed": "0",          # 1: hand out the same credentials again and again
    "delay": "0",          # seconds before an answer
    "hold": "0",           # 1: no answers until it is 0 again
    "sts": "ok", "sso": "ok", "container": "ok", "imds": "ok",  # or an HTTP status, or a fault
    "role": "web-role",    # of the instance
    "container_token": "", # what the Authorization header has to be
}
SECRETS = {
    "AKIAENVIRONMENT": "CANARY-secret-environment",
    "AKIAPROFILE": "CANARY-secret-profile",
}
SSO_TOKEN = "CANARY-sso-access-token"
WEB_TOKEN = "CANARY.web.identity.token"
IMDS_TOKEN = "CANARY-imds-token"

lock = threading.Lock()
settings = dict(DEFAULTS)
counts = {}
last = {}
issued = 0


def issue():
    """Fresh credentials, remembered so that they can sign."""
    global issued
    with lock:
        if settings["fixed"] == "0" or issued == 0:
            issued += 1
        number = issued
    key_id = f"ASIAISSUED{number:06d}"
    SECRETS[key_id] = f"CANARY-secret-issued-{number:06d}"
    return key_id, SECRETS[key_id], f"CANARY-token-issued-{number:06d}"


def expiration():
    at = time.time() + float(settings["expires_in"])
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_problem(handler, body, service):
    """What is wrong with the signature of a request, or None."""
    header = handler.headers.get("Authorization", "")
    if not header.startswith("AWS4-HMAC-SHA256 "):
        return "no signature"
    fields = dict(part.strip().split("=", 1) for part in header[17:].split(","))
    key_id, day, region, named, end = fields["Credential"].split("/")
    names = fields["SignedHeaders"].split(";")
    date = handler.headers["X-Amz-Date"]
    if key_id not in SECRETS or named != service or end != "aws4_request" or date[:8] != day:
        return "wrong scope"
    if not {"host", "x-amz-date"} <= set(names) or names != sorted(names):
        return "wrong headers"
    token = handler.headers.get("X-Amz-Security-Token")
    if key_id.startswith("ASIA") and (not token or "x-amz-security-token" not in names):
        return "no token"
    path, _, query = handler.path.partition("?")
    headers = "".join(f"{name}:{handler.headers[name].strip()}\n" for name in names)
    canonical = "\n".join([handler.command, urllib.parse.quote(path), query, headers,
                           ";".join(names), hashlib.sha256(body).hexdigest()])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, f"{day}/{region}/{service}/aws4_request",
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRETS[key_id]).encode()
    for part in (day, region, service, "aws4_request"):
        key = sign(key, part)
    return None if sign(key, to_sign).hex() == fields["Signature"] else "signature differs"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that hang up are part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body, kind="application/json"):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def read_body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def enter(self, service, asked):
        """Count, wait, and play the fault that is set. True: answered already."""
        with lock:
            counts[service] = counts.get(service, 0) + 1
            last[service] = asked
            mode = settings[service]
        time.sleep(float(settings["delay"]))
        while settings["hold"] == "1":
            time.sleep(0.01)
        if mode == "ok":
            return False
        echo = f"{self.command} {self.path} {dict(self.headers)} {asked} CANARY".replace("\n", " ")
        if mode == "garbage":
            self.answer(200, b"\xff\x00{<" + echo.encode())
        elif mode == "empty":
            self.answer(200, "")
        elif mode == "array":
            self.answer(200, "[" * 200)
        elif mode == "huge":
            self.answer(200, "CANARY" * 50000)
        elif mode == "close":
            self.close_connection = True
        elif mode == "incomplete":
            self.answer(200, '{"Code":"Success","AccessKeyId":"ASIAX"}')
        elif mode == "badtime":
            self.answer(200, json.dumps({"AccessKeyId": "ASIAX", "SecretAccessKey": "CANARY",
                                         "Token": "CANARY", "Expiration": "CANARY tomorrow"}))
        elif mode == "doctype":
            self.answer(200, '<!DOCTYPE a [<!ENTITY b "CANARY">]><a>&b;</a>', "text/xml")
        elif service == "sts":
            self.sts_error(int(mode), "Refused", echo.replace("<", "").replace("&", ""))
        else:
            self.answer(int(mode), json.dumps({"message": echo, "code": "Refused"}))
        return True

    def sts_error(self, status, code, message):
        self.answer(status, "<ErrorResponse><Error><Type>Sender</Type><Code>" + code +
                    "</Code><Message>" + message + "</Message></Error></ErrorResponse>", "text/xml")

    def do_POST(self):
        body = self.read_body()
        form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
        asked = " ".join(f"{k}={form[k]}" for k in sorted(form) if k != "WebIdentityToken")
        if self.enter("sts", asked):
            return
        if form["Action"] == "AssumeRole":
            problem = signature_problem(self, body, "sts")
            if problem:
                self.sts_error(403, "SignatureDoesNotMatch", problem)
                return
            if "denied" in form["RoleArn"]:
                self.sts_error(403, "AccessDenied", "User: u is not authorized to perform this")
                return
        elif form.get("WebIdentityToken") != WEB_TOKEN or self.headers.get("Authorization"):
            self.sts_error(400, "InvalidIdentityToken", "token " + form["WebIdentityToken"])
            return
        key_id, secret, token = issue()
        name = form["Action"] + "Result"
        self.answer(200, f"""<?xml version="1.0" encoding="UTF-8"?>
<{form["Action"]}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{name}><Credentials>
<AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
<SessionToken>{token}</SessionToken><Expiration>{expiration()}</Expiration>
</Credentials></{name}></{form["Action"]}Response>""", "text/xml")

    def do_PUT(self):
        self.read_body()
        if self.path != "/latest/api/token" or self.enter("imds", "token"):
            return
        life = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if life.isdigit() and 0 < int(life) <= 21600:
            self.answer(200, IMDS_TOKEN, "text/plain")
        else:
            self.answer(400, "")

    def document(self, **more):
        key_id, secret, token = issue()
        self.answer(200, json.dumps({"Code": "Success", "AccessKeyId": key_id,
                                     "SecretAccessKey": secret, "Token": token,
                                     "Expiration": expiration(), **more}))

    def get_imds(self):
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.enter("imds", self.path):
            return
        if self.headers.get("X-aws-ec2-metadata-token") != IMDS_TOKEN:
            self.answer(401, "")
        elif settings["role"] == "none":
            self.answer(404, "")
        elif self.path == roles:
            self.answer(200, settings["role"] + "\n", "text/plain")
        elif self.path == roles + settings["role"]:
            self.document(Type="AWS-HMAC")
        else:
            self.answer(404, "")

    def get_sso(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if self.enter("sso", f"{query.get('account_id')} {query.get('role_name')}"):
            return
        if self.headers.get("x-amz-sso_bearer_token") != SSO_TOKEN:
            self.answer(401, '{"message":"Session token not found or invalid CANARY"}')
            return
        key_id, secret, token = issue()
        at = int((time.time() + float(settings["expires_in"])) * 1000)
        self.answer(200, json.dumps({"roleCredentials": {
            "accessKeyId": key_id, "secretAccessKey": secret, "sessionToken": token,
            "expiration": at}}))

    def get_container(self):
        if self.enter("container", self.path):
            return
        if self.headers.get("Authorization", "") != settings["container_token"]:
            self.answer(401, json.dumps({"message": str(self.headers)}))
            return
        self.document()

    def do_GET(self):
        if self.path.startswith("/latest/"):
            self.get_imds()
        elif self.path.startswith("/federation/"):
            self.get_sso()
        else:
            self.get_container()


def obey(words):
    global issued
    with lock:
        if words[0] == "set":
            settings[words[1]] = words[2] if len(words) > 2 else ""
        elif words[0] == "reset":
            settings.update(DEFAULTS)
            counts.clear()
            last.clear()
            issued = 0
        elif words[0] == "count":
            return str(counts.get(words[1], 0))
        elif words[0] == "last":
            return last.get(words[1], "")
        return "ok"


def main():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for line in sys.stdin:
        print(obey(line.rstrip("\n").split(" ", 2)), flush=True)


if __name__ == "__main__":
    main()
