"""Signs in over RVP with one of several NTLM libraries and prints what the server answered.

    sign_in.py LIBRARY URL USER PASSWORD [CERTIFICATE.pem]

USER is user, DOMAIN\\user or user@domain. On one connection: SUBSCRIBE with the library's
exchange, PROPPATCH without credentials (the connection is authenticated), the same naming
somebody else as its sender, then a fresh connection without credentials. Printed: the status of
each, the number of legs, and whether the server proved itself where the library asks for that.

In the environment: SOURCE, the address to come from; TLS1, to speak TLS 1.0 and nothing newer
(printed then, too); WRONG_BINDING, to bind to a channel that is not this one.
"""

import base64
import hashlib
import http.client
import os
import ssl
import sys
import urllib.parse
import warnings

LIBRARY, URL, USER, PASSWORD = sys.argv[1:5]
CERTIFICATE = sys.argv[5] if len(sys.argv) > 5 else None
SPOKEN = set()
TARGET = urllib.parse.urlsplit(URL)
NAME = USER.split("\\")[-1].split("@")[0].lower()
ONLINE = (
    '<?xml version="1.0"?><d:propertyupdate xmlns:d="DAV:" '
    'xmlns:r="http://schemas.microsoft.com/rvp/"><d:set><d:prop><r:state><r:leased-value>'
    "<r:value><r:online/></r:value><r:default-value><r:offline/></r:default-value>"
    "<d:timeout>1200</d:timeout></r:leased-value></r:state></d:prop></d:set></d:propertyupdate>"
)


def tls():
    context = ssl.create_default_context(cafile=CERTIFICATE)
    if "TLS1" in os.environ:
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def connect():
    where = {"source_address": (os.environ["SOURCE"], 0)} if "SOURCE" in os.environ else {}
    if TARGET.scheme == "https":
        connection = http.client.HTTPSConnection(
            TARGET.hostname, TARGET.port, context=tls(), **where
        )
    else:
        connection = http.client.HTTPConnection(TARGET.hostname, TARGET.port, **where)
    connection.connect()
    if "TLS1" in os.environ:
        SPOKEN.add(connection.sock.version())
    return connection


def headers(sender=NAME):
    return {
        "Host": "im.example.com",
        "RVP-Notifications-Version": "0.2",
        "RVP-From-Principal": "http://im.example.com/instmsg/aliases/" + sender,
    }


def subscribe():
    return headers() | {
        "Notification-Type": "pragma/notify",
        "Subscription-Lifetime": "600",
        "Call-Back": "http://127.0.0.1:1025/",
        "Content-Length": "0",
    }


def send(connection, method, fields, body=None):
    connection.request(method, "/instmsg/aliases/" + NAME, body=body, headers=fields)
    response = connection.getresponse()
    response.read()
    return response


def token(response, scheme):
    for value in response.headers.get_all("WWW-Authenticate", []):
        name, _, rest = value.partition(" ")
        if name.lower() == scheme.lower() and rest:
            return base64.b64decode(rest)
    return None


def binding(connection):
    """tls-server-end-point (RFC 5929); our test certificates are signed with SHA-256."""
    der = connection.sock.getpeercert(binary_form=True)
    wrong = os.environ.get("WRONG_BINDING", "").encode()
    return b"tls-server-end-point:" + hashlib.sha256(der + wrong).digest()


class NtlmAuth:
    scheme = "NTLM"

    def __init__(self, connection):
        from ntlm_auth.ntlm import NtlmContext
        from ntlm_auth.gss_channel_bindings import GssChannelBindingsStruct

        domain, _, user = USER.rpartition("\\")
        bindings = None
        if TARGET.scheme == "https":
            bindings = GssChannelBindingsStruct()
            bindings[bindings.APPLICATION_DATA] = binding(connection)
        self.context = NtlmContext(user, PASSWORD, domain, cbt_data=bindings)

    def step(self, octets=None):
        return self.context.step(octets)

    def complete(self):
        return self.context.complete


class Spnego:
    def __init__(self, connection, protocol):
        import spnego
        from spnego.channel_bindings import GssChannelBindings

        self.scheme = "NTLM" if protocol == "ntlm" else "Negotiate"
        kerberos = protocol.endswith("kerberos")
        bindings = None
        if TARGET.scheme == "https":
            bindings = GssChannelBindings(application_data=binding(connection))
        if kerberos:
            # Whatever tickets the environment names. Inside SPNEGO written in Python, or bare.
            self.context = spnego.client(
                hostname="im.example.com",
                service="HTTP",
                channel_bindings=bindings,
                protocol=protocol.removesuffix("-kerberos"),
                options=spnego.NegotiateOptions.use_negotiate
                if protocol.startswith("negotiate")
                else spnego.NegotiateOptions.none,
            )
            return
        self.context = spnego.client(
            USER,
            PASSWORD,
            hostname="im.example.com",
            service="HTTP",
            channel_bindings=bindings,
            protocol=protocol,
            options=spnego.NegotiateOptions.use_ntlm
            if protocol == "ntlm"
            else spnego.NegotiateOptions.use_negotiate,
        )

    def step(self, octets=None):
        return self.context.step(octets)

    def complete(self):
        return self.context.complete


def exchange(connection):
    if LIBRARY == "ntlm-auth":
        context = NtlmAuth(connection)
    else:
        context = Spnego(connection, LIBRARY.removeprefix("spnego-"))
    octets, legs = context.step(), 0
    while True:
        legs += 1
        value = context.scheme + " " + base64.b64encode(octets).decode()
        response = send(connection, "SUBSCRIBE", subscribe() | {"Authorization": value})
        answered = token(response, context.scheme)
        if response.status != 401 or answered is None:
            if answered:
                context.step(answered)
            return response.status, legs, context.complete()
        octets = context.step(answered)


def with_requests():
    import requests
    from requests_ntlm import HttpNtlmAuth

    session = requests.Session()
    session.auth = HttpNtlmAuth(USER, PASSWORD)
    url = URL + "/instmsg/aliases/" + NAME
    verify = CERTIFICATE or True
    first = session.request("SUBSCRIBE", url, headers=subscribe(), verify=verify)
    second = session.request("PROPPATCH", url, headers=headers(), data=ONLINE, verify=verify)
    print(first.status_code, second.status_code)


def main():
    if LIBRARY == "requests-ntlm":
        return with_requests()
    connection = connect()
    status, legs, complete = exchange(connection)
    own = send(connection, "PROPPATCH", headers(), ONLINE).status
    other = send(connection, "PROPPATCH", headers("somebody"), ONLINE).status
    fresh = send(connect(), "PROPPATCH", headers(), ONLINE).status
    told = f"subscribe={status} legs={legs} complete={complete} own={own} other={other} fresh={fresh}"
    print(told, *SPOKEN)


main()
