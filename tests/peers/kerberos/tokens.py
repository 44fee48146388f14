"""Makes Kerberos tokens with MIT's library and plays the client with them, line by line.

    ticket SERVICE@HOST [BINDING]   a new context; its first token
    answer TOKEN                    the server's token: "complete" if it proves the server
    sign OCTETS                     the client's code over them
    verify OCTETS CODE              "right" or "wrong"

Everything but words is base64. Bare Kerberos tokens: what wraps them is the test's business.
"""

import base64
import sys

import gssapi
from gssapi.raw import ChannelBindings


def read(text):
    return base64.b64decode(text)


def show(octets):
    return base64.b64encode(octets).decode()


context = None
for line in sys.stdin:
    word, *rest = line.split()
    try:
        if word == "ticket":
            name = gssapi.Name(rest[0], gssapi.NameType.hostbased_service)
            bindings = ChannelBindings(application_data=read(rest[1])) if rest[1:] else None
            context = gssapi.SecurityContext(
                name=name,
                mech=gssapi.MechType.kerberos,
                usage="initiate",
                flags=gssapi.RequirementFlag.mutual_authentication,
                channel_bindings=bindings,
            )
            answer = show(context.step())
        elif word == "answer":
            context.step(read(rest[0]))
            answer = "complete" if context.complete else "incomplete"
        elif word == "sign":
            answer = show(context.get_signature(read(rest[0])))
        elif word == "verify":
            context.verify_signature(read(rest[0]), read(rest[1]))
            answer = "right"
        else:
            answer = "what?"
    except gssapi.exceptions.GSSError as error:
        answer = "wrong" if word == "verify" else "error " + " ".join(str(error).split())
    print(answer, flush=True)
