#!/usr/bin/env python3
"""Receives RVP notifications and prints each as a line. Standard library only.

    python3 notification_target.py 127.0.0.1:8081 [SECRET]

With a secret it takes only what a Tristack server signed (tristack target add NODE URL
--secret-file F). The sender in a notification is a claim, nothing more.
"""
import hashlib
import hmac
import sys
import time
import xml.parsers.expat
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree import ElementTree

DAV, RVP = "{DAV:}", "{http://schemas.microsoft.com/rvp/}"
LIMIT, MAX_AGE = 65536, 300


def parse(body):
    """The root; document type declarations are refused, so there are no entities to expand."""
    def refuse(*_):
        raise ValueError("document type declaration")
    gate = xml.parsers.expat.ParserCreate()
    gate.StartDoctypeDeclHandler = refuse
    gate.Parse(body, True)
    return ElementTree.fromstring(body)


def signed(secret, header, body, now):
    """Tristack-Signature: t=UNIX, v1=HEX over "t.body"."""
    parts = [part.strip().partition("=") for part in (header or "").split(",")]
    at = next((value for name, _, value in parts if name == "t"), "")
    if not at.isdecimal() or abs(int(at) - now) > MAX_AGE:
        return False
    wanted = hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
    codes = [value for name, _, value in parts if name == "v1"]
    return any(hmac.compare_digest(wanted.encode(), code.encode()) for code in codes)


def line(root):
    """What happened, in a line."""
    if root.tag != RVP + "notification":
        return "event " + root.tag
    what = root[0]
    sender = (what.findtext(f"{RVP}notification-from/{RVP}contact/{DAV}href") or "").strip()
    if what.tag == RVP + "propnotification":
        state = what.find(f".//{RVP}state/*")
        if state is None:
            return "properties " + sender
        return f"state {sender}: {state.tag.rpartition('}')[2]}"
    if what.tag != RVP + "message":
        return "event " + what.tag
    mime = what.findtext(f"{RVP}msgbody/{RVP}mime-data") or ""
    try:  # Microsoft's clients write one character for each octet of UTF-8.
        mime = mime.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    head, _, text = mime.lstrip().replace("\r\n", "\n").partition("\n\n")
    fields = dict(field.partition(":")[::2] for field in head.lower().split("\n"))
    kind = fields.get("content-type", "").split(";")[0].strip()
    if kind == "text/plain":
        return f"message {sender}: {text}"
    control = "typing" if "typinguser" in fields else "join"
    kinds = {"text/x-msmsgscontrol": control, "text/x-imleave": "leave",
             "text/x-msmsgsinvite": "invite"}
    return f"{kinds.get(kind, 'other')} {sender}"


class Target(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    secret = None

    def do_NOTIFY(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self.answer(400, "Bad Request")
        if int(length) > LIMIT:
            return self.answer(413, "Request Entity Too Large")
        body = self.rfile.read(int(length))
        header = self.headers.get("Tristack-Signature")
        if self.secret and not signed(self.secret, header, body, time.time()):
            return self.answer(403, "Forbidden")
        try:
            text = line(parse(body))
        except (ValueError, IndexError, xml.parsers.expat.ExpatError, ElementTree.ParseError):
            return self.answer(400, "Bad Request")
        print(text, flush=True)
        self.answer(200, "Successful")

    def answer(self, status, reason):
        self.close_connection |= status >= 400
        self.send_response_only(status, reason)
        version = self.headers.get("RVP-Notifications-Version", "0.2")
        self.send_header("RVP-Notifications-Version", version)
        self.send_header("Content-Length", "0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def main():
    host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8081").rpartition(":")
    Target.secret = sys.argv[2].encode() if len(sys.argv) > 2 else None
    server = ThreadingHTTPServer((host, int(port)), Target)
    print("listening on %s:%d" % server.server_address, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
