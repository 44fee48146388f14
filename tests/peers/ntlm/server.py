"""Speaks for carol@b.example as another RVP server does, proving itself with pyspnego.

    server.py ntlm|negotiate URL USER PASSWORD

On one connection: NOTIFY to alice@example.com with the library's exchange, NOTIFY without
credentials (the connection is proved); then the same on a fresh connection. Printed: the status of
each, the number of legs, and whether the library was through with its exchange.
"""

import base64
import http.client
import sys
import urllib.parse

import spnego

PROTOCOL, URL, USER, PASSWORD = sys.argv[1:5]
TARGET = urllib.parse.urlsplit(URL)
SCHEME = "NTLM" if PROTOCOL == "ntlm" else "Negotiate"
CAROL = "http://im.b.example/instmsg/aliases/carol"
ALICE = "http://im.example.com/instmsg/aliases/alice"
BODY = (
    '<?xml version="1.0"?><r:notification xmlns:d="DAV:" '
    'xmlns:r="http://schemas.microsoft.com/rvp/"><r:message><r:notification-from><r:contact>'
    f"<d:href>{CAROL}</d:href><r:description>carol</r:description></r:contact>"
    f"</r:notification-from><r:notification-to><r:contact><d:href>{ALICE}</d:href>"
    "<r:description/></r:contact></r:notification-to><r:msgbody><r:mime-data><![CDATA["
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n"
    "Session-Id: {11112222-3333-4444-5555-666677778888}\r\n\r\nby " + SCHEME + "]]>"
    "</r:mime-data></r:msgbody></r:message></r:notification>"
)


def connect():
    connection = http.client.HTTPConnection(TARGET.hostname, TARGET.port)
    connection.connect()
    return connection


def notify(connection, proof=None):
    fields = {
        "Host": "im.example.com",
        "RVP-Notifications-Version": "0.2",
        "RVP-From-Principal": CAROL,
        "RVP-Hop-Count": "2",
        "RVP-Ack-Type": "DeepOr",
        "Content-Type": "text/xml",
    }
    if proof is not None:
        fields["Authorization"] = SCHEME + " " + base64.b64encode(proof).decode()
    connection.request("NOTIFY", "/instmsg/aliases/alice", body=BODY, headers=fields)
    response = connection.getresponse()
    response.read()
    return response


def token(response):
    for value in response.headers.get_all("WWW-Authenticate", []):
        name, _, rest = value.partition(" ")
        if name == SCHEME and rest:
            return base64.b64decode(rest)
    return None


def main():
    options = spnego.NegotiateOptions
    context = spnego.client(
        USER,
        PASSWORD,
        hostname="im.example.com",
        service="HTTP",
        protocol=PROTOCOL,
        options=options.use_ntlm if PROTOCOL == "ntlm" else options.use_negotiate,
    )
    connection = connect()
    octets, legs = context.step(), 0
    while True:
        legs += 1
        response = notify(connection, octets)
        answered = token(response)
        if response.status != 401 or answered is None:
            if answered:
                context.step(answered)
            break
        octets = context.step(answered)
    again = notify(connection).status
    fresh = notify(connect()).status
    print(
        f"notify={response.status} legs={legs} complete={context.complete} "
        f"again={again} fresh={fresh}"
    )


main()
