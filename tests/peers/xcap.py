"""An XCAP client from other people's parts: urllib does HTTP and Digest, lxml reads the documents
and evaluates node selectors as XPath. It changes a resource list at random, node by node, and
after each step what the server says must be what lxml makes of it.

    xcap.py ROOT USER PASSWORD STEPS SEED
"""

import random
import sys
import urllib.error
import urllib.parse
import urllib.request

from lxml import etree

NS = "urn:ietf:params:xml:ns:resource-lists"
EL, ATT = "application/xcap-el+xml", "application/xcap-att+xml"


class Client:
    def __init__(self, root, user, password):
        self.document = f"{root}/resource-lists/users/sip:{user}@example.com/index"
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, root, user, password)
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPDigestAuthHandler(passwords),
        )

    def ask(self, method, selector=None, body=None, kind=None, headers=None):
        url = self.document
        if selector is not None:
            url += "/~~" + urllib.parse.quote(selector, safe="/@=:*")
        request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
        if kind:
            request.add_header("Content-Type", kind)
        try:
            with self.opener.open(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers, answer.read()


def xpath(selector):
    """The selector with the default namespace's prefix on every element name."""
    steps = []
    for step in selector.strip("/").split("/"):
        plain = step[0] in "@*"
        steps.append(step if plain else "r:" + step)
    return "/" + "/".join(steps)


def expected(text, selector):
    """What a GET must give: none, or the one node."""
    tree = etree.fromstring(text)
    found = tree.xpath(xpath(selector), namespaces={"r": NS})
    # RFC 4825 6.3: each step selects exactly one element.
    parts = selector.strip("/").split("/")
    for count in range(1, len(parts) + 1):
        if len(tree.xpath(xpath("/".join(parts[:count])), namespaces={"r": NS})) != 1:
            return None
    return found[0]


def same(node, octets):
    if isinstance(node, str):
        return str(node) == octets.decode()
    # The fragment stands in the scope of its parent.
    wrapped = b'<w xmlns="%s">%s</w>' % (NS.encode(), octets)
    mine = etree.fromstring(wrapped)[0]
    mine.tail = None
    copy = etree.fromstring(etree.tostring(node, with_tail=False))
    return etree.tostring(mine, method="c14n") == etree.tostring(copy, method="c14n")


def selectors(dice):
    step = dice.choice(["list", "*"])
    inner = dice.choice(["entry", "list", "*", "display-name"])
    position = dice.choice(["", "[1]", "[2]", "[3]"])
    name = dice.choice(["", '[@name="a"]', '[@name="b"]', '[@uri="sip:1@x"]', '[@uri="sip:2@x"]'])
    deep = dice.choice(["", f"/{inner}{position}{name}", f"/list{position}/{inner}{name}"])
    end = dice.choice(["", "", "/@name", "/@uri"])
    return f"/resource-lists/{step}{dice.choice(['', '[1]', '[2]'])}{deep}{end}"


def body(dice):
    uri = f"sip:{dice.randint(1, 3)}@x"
    return dice.choice(
        [
            f'<entry uri="{uri}"/>',
            f"<entry uri='{uri}'><display-name>N &amp; n</display-name></entry>",
            f'<list name="{dice.choice("ab")}"/>',
            '<list name="b"><!-- c --><entry uri="sip:1@x"/></list>',
            "<display-name>D</display-name>",
            "<entry/>",
            "<entry",
        ]
    ).encode()


def main():
    root, user, password, steps, seed = sys.argv[1:]
    dice = random.Random(int(seed))
    client = Client(root, user, password)
    start = f"""<?xml version="1.0"?>
<!-- of {user} -->
<resource-lists xmlns="{NS}">
  <list name="a"><display-name>A</display-name><entry uri="sip:1@x"/></list>
  <list name='b'>
    <list name="a"/>
  </list>
</resource-lists>
""".encode()
    status, _, _ = client.ask("PUT", body=start, kind="application/resource-lists+xml")
    assert status == 201, status
    text, counts = start, {}
    for _ in range(int(steps)):
        selector = selectors(dice)
        method = dice.choice(["GET", "GET", "PUT", "PUT", "DELETE"])
        attribute = "/@" in selector
        new = dice.choice([b"a", b"b", b"sip:2@x", b"<"]) if attribute else body(dice)
        put = method == "PUT"
        status, headers, answer = client.ask(
            method, selector, new if put else None, (ATT if attribute else EL) if put else None
        )
        counts[method, status] = counts.get((method, status), 0) + 1
        before = expected(text, selector)
        code, _, after = client.ask("GET")
        assert code == 200
        told = f"{method} {selector} {new!r}: {status} {answer!r}\n{text.decode()}\n{after.decode()}"
        if method == "GET":
            assert (status == 200) == (before is not None), told
            assert status != 200 or same(before, answer), told
            assert after == text, told
        elif status in (200, 201):
            assert (before is not None) == (status == 200), told
            now = expected(after, selector)
            if put:
                assert now is not None and same(now, new), told
            else:
                assert now is None, told
            # All other octets stay: both share everything before and behind one place.
            front = next((i for i, (x, y) in enumerate(zip(text, after)) if x != y), min(len(text), len(after)))
            back = next(
                (i for i, (x, y) in enumerate(zip(reversed(text), reversed(after))) if x != y),
                min(len(text), len(after)),
            )
            changed = max(len(text), len(after)) - front - min(back, min(len(text), len(after)) - front)
            assert changed <= max(len(new), len(text) - len(after)) + 120, told
            conditional = client.ask("GET", headers={"If-None-Match": headers["ETag"]})
            assert conditional[0] == 304, told
        else:
            assert status in (404, 409), told
            assert (status == 404) == (method == "DELETE" and before is None), told
            if status == 409:
                error = etree.fromstring(answer)
                assert error.tag == "{urn:ietf:params:xml:ns:xcap-error}xcap-error", told
            assert after == text, told
        text = after
    for needed in [("GET", 200), ("GET", 404), ("PUT", 200), ("PUT", 201), ("PUT", 409), ("DELETE", 200), ("DELETE", 404)]:
        assert counts.get(needed), f"never seen: {needed} in {counts}"
    print("agreed:", counts)


main()
