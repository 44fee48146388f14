import jakarta.servlet.ServletConfig;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.parsers.ParserConfigurationException;
import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.xml.sax.ErrorHandler;
import org.xml.sax.SAXException;
import org.xml.sax.SAXParseException;

/**
 * Receives RVP notifications and prints each as a line, in any servlet container (Jakarta 5 on).
 *
 * <p>With the init parameter {@code secret} it takes only what a Tristack server signed
 * ({@code tristack target add NODE URL --secret-file F}). The sender in a notification is a claim.
 */
public class NotifyServlet extends HttpServlet {
    private static final long serialVersionUID = 1L;
    private static final String RVP = "http://schemas.microsoft.com/rvp/";
    private static final int LIMIT = 65_536;
    private static final long MAX_AGE = 300;
    private transient byte[] secret;
    private transient DocumentBuilderFactory documents;

    @Override
    public void init(ServletConfig config) throws ServletException {
        super.init(config);
        String text = config.getInitParameter("secret");
        secret = text == null ? null : text.getBytes(StandardCharsets.UTF_8);
        documents = DocumentBuilderFactory.newInstance();
        documents.setNamespaceAware(true);
        try {
            documents.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        } catch (ParserConfigurationException e) {
            throw new ServletException(e);
        }
    }

    /** {@code HttpServlet} knows no NOTIFY, so the dispatching is ours. */
    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        String version = request.getHeader("RVP-Notifications-Version");
        response.setHeader("RVP-Notifications-Version", version == null ? "0.2" : version);
        response.setContentLength(0);
        response.setStatus(answer(request));
    }

    private int answer(HttpServletRequest request) throws IOException {
        if (!request.getMethod().equals("NOTIFY")) {
            return 501;
        }
        byte[] body = request.getInputStream().readNBytes(LIMIT + 1);
        if (body.length > LIMIT) {
            return 413;
        }
        if (secret != null && !signed(request.getHeader("Tristack-Signature"), body)) {
            return 403;
        }
        try {
            received(parse(body));
            return 200;
        } catch (SAXException | ParserConfigurationException | IllegalArgumentException e) {
            return 400;
        }
    }

    /** What to do with a notification: put your own code here. */
    protected void received(Element root) {
        System.out.println(line(root));
    }

    /** Tristack-Signature: t=UNIX, v1=HEX over "t.body". */
    private boolean signed(String header, byte[] body) {
        String at = "";
        boolean holds = false;
        try {
            for (String part : header == null ? new String[0] : header.split(",")) {
                String[] pair = part.trim().split("=", 2);
                if (pair[0].equals("t") && pair.length == 2) {
                    at = pair[1];
                } else if (pair[0].equals("v1") && pair.length == 2) {
                    Mac mac = Mac.getInstance("HmacSHA256");
                    mac.init(new SecretKeySpec(secret, "HmacSHA256"));
                    mac.update((at + ".").getBytes(StandardCharsets.UTF_8));
                    // In constant time.
                    holds |= MessageDigest.isEqual(mac.doFinal(body), HexFormat.of().parseHex(pair[1]));
                }
            }
            long now = System.currentTimeMillis() / 1000;
            return holds && Math.abs(now - Long.parseLong(at)) <= MAX_AGE;
        } catch (GeneralSecurityException | IllegalArgumentException e) {
            return false;
        }
    }

    private Element parse(byte[] body)
            throws IOException, SAXException, ParserConfigurationException {
        var builder = documents.newDocumentBuilder();
        builder.setErrorHandler(new Strict());
        return builder.parse(new ByteArrayInputStream(body)).getDocumentElement();
    }

    static String line(Element root) {
        if (!is(root, RVP, "notification")) {
            return "event " + name(root);
        }
        Element what = first(root);
        if (what == null) {
            throw new IllegalArgumentException("empty notification");
        }
        Element href = path(what, "notification-from", "contact", "href");
        String sender = href == null ? "" : href.getTextContent().strip();
        if (is(what, RVP, "propnotification")) {
            Node states = what.getElementsByTagNameNS(RVP, "state").item(0);
            Element state = states == null ? null : first(states);
            return state == null ? "properties " + sender
                    : "state " + sender + ": " + state.getLocalName();
        }
        if (!is(what, RVP, "message")) {
            return "event " + name(what);
        }
        Element mime = path(what, "msgbody", "mime-data");
        if (mime == null) {
            throw new IllegalArgumentException("no mime-data");
        }
        return message(sender, decoded(mime.getTextContent()));
    }

    private static String message(String sender, String mime) {
        String[] parts = mime.stripLeading().replace("\r\n", "\n").split("\n\n", 2);
        Map<String, String> fields = new LinkedHashMap<>();
        for (String field : parts[0].toLowerCase().split("\n")) {
            int colon = field.indexOf(':');
            if (colon > 0) {
                fields.putIfAbsent(field.substring(0, colon), field.substring(colon + 1).strip());
            }
        }
        String kind = fields.getOrDefault("content-type", "").split(";")[0].strip();
        return switch (kind) {
            case "text/plain" -> "message " + sender + ": " + (parts.length > 1 ? parts[1] : "");
            case "text/x-msmsgscontrol" ->
                (fields.containsKey("typinguser") ? "typing " : "join ") + sender;
            case "text/x-imleave" -> "leave " + sender;
            case "text/x-msmsgsinvite" -> "invite " + sender;
            default -> "other " + sender;
        };
    }

    /** Microsoft's clients write one character for each octet of UTF-8. */
    private static String decoded(String mime) {
        try {
            var octets = StandardCharsets.ISO_8859_1.newEncoder().encode(CharBuffer.wrap(mime));
            return StandardCharsets.UTF_8.newDecoder().decode(octets).toString();
        } catch (CharacterCodingException e) {
            return mime;
        }
    }

    private static Element path(Element from, String... names) {
        Element at = from;
        for (String name : names) {
            Element next = null;
            for (Node n = at.getFirstChild(); n != null && next == null; n = n.getNextSibling()) {
                next = n instanceof Element e && e.getLocalName().equals(name) ? e : null;
            }
            if (next == null) {
                return null;
            }
            at = next;
        }
        return at;
    }

    private static Element first(Node parent) {
        Node n = parent.getFirstChild();
        while (n != null && !(n instanceof Element)) {
            n = n.getNextSibling();
        }
        return (Element) n;
    }

    private static boolean is(Element e, String namespace, String local) {
        return local.equals(e.getLocalName()) && namespace.equals(e.getNamespaceURI());
    }

    private static String name(Element e) {
        String namespace = e.getNamespaceURI() == null ? "" : e.getNamespaceURI();
        return "{" + namespace + "}" + e.getLocalName();
    }

    /** Errors are answers, not lines on the console. */
    private static final class Strict implements ErrorHandler {
        @Override
        public void warning(SAXParseException e) {}

        @Override
        public void error(SAXParseException e) throws SAXException {
            throw e;
        }

        @Override
        public void fatalError(SAXParseException e) throws SAXException {
            throw e;
        }
    }
}
