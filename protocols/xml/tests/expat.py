"""Prints per document of a file (length-prefixed) `-`, or `+` and its content in hex."""
import struct
import sys
from xml.parsers import expat


def quote(text):
    return text.replace("\\", "\\\\").replace("|", "\\p").replace("\n", "\\n")


class Content:
    def __init__(self):
        self.parts, self.text = [], []

    def flush(self):
        text = "".join(self.text)
        self.text.clear()
        if text:
            self.parts.append("T" + quote(text))

    def start(self, name, attributes):
        self.flush()
        self.parts.append("S" + quote(name))
        pairs = sorted(attributes.items())
        self.parts += ["A" + quote(key) + "=" + quote(value) for key, value in pairs]

    def end(self, _name):
        self.flush()
        self.parts.append("E")


def read(document):
    content = Content()
    parser = expat.ParserCreate(namespace_separator="\x01")
    parser.StartElementHandler = content.start
    parser.EndElementHandler = content.end
    parser.CharacterDataHandler = content.text.append
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError, LookupError):
        return "-"
    return "+" + "|".join(content.parts).encode("utf-8", "surrogatepass").hex()


data = open(sys.argv[1], "rb").read()
at = 0
while at < len(data):
    (length,) = struct.unpack_from(">I", data, at)
    print(read(data[at + 4 : at + 4 + length]))
    at += 4 + length
