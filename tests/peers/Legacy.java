import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.util.*;

/**
 * A caller as old programs have it: HttpURLConnection, which knows nothing of tokens and of HTTP/2.
 *
 * java Legacy.java GOOD BROKEN: two addresses, the first of a bearerd that works, the second of one without a token. Prints "ok".
 */
public class Legacy {
    static void check(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static HttpURLConnection open(String url, String method) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection(Proxy.NO_PROXY);
        connection.setConnectTimeout(20_000);
        connection.setReadTimeout(20_000);
        connection.setRequestMethod(method);
        return connection;
    }

    static String text(InputStream stream) throws IOException {
        try (stream) {
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    static String body(HttpURLConnection connection) throws IOException {
        check(connection.getResponseCode() == 200, connection.getResponseCode() + " " + connection.getResponseMessage());
        return text(connection.getInputStream());
    }

    static String post(String url, byte[] body, boolean known, Map<String, String> fields) throws IOException {
        HttpURLConnection connection = open(url, "POST");
        fields.forEach(connection::setRequestProperty);
        connection.setDoOutput(true);
        // In both of these modes it cannot send again by itself: a 401 would be an exception.
        if (known) {
            connection.setFixedLengthStreamingMode(body.length);
        } else {
            connection.setChunkedStreamingMode(4096);
        }
        try (OutputStream out = connection.getOutputStream()) {
            out.write(body);
        }
        return body(connection);
    }

    public static void main(String[] arguments) throws Exception {
        // Otherwise it leaves out Origin, Expect and others without a word.
        System.setProperty("sun.net.http.allowRestrictedHeaders", "true");
        String good = arguments[0];
        String broken = arguments[1];

        // The token is revoked as this begins.
        String first = body(open(good + "/items?x=1", "GET"));
        check(first.contains("\"/items?x=1\""), first);

        Random random = new Random(7);
        for (int n = 0; n < 20; n++) {
            byte[] bytes = new byte[n * 1000];
            random.nextBytes(bytes);
            String told = post(good + "/revoke/" + n, bytes, n % 2 == 0, Map.of());
            check(told.contains("\"length\":" + bytes.length), told);
        }
        byte[] big = new byte[10 << 20];
        for (boolean known : new boolean[] {true, false}) {
            String told = post(good + "/big", big, known, Map.of());
            check(told.contains("\"length\":" + big.length), told);
            told = post(good + "/expect", big, known, Map.of("Expect", "100-Continue"));
            check(told.contains("\"length\":" + big.length), told);
        }
        // Buffered by itself, with a length; and a form as old programs send it.
        HttpURLConnection form = open(good + "/form", "POST");
        form.setDoOutput(true);
        form.getOutputStream().write("a=1&b=2".getBytes(StandardCharsets.US_ASCII));
        String told = body(form);
        check(told.contains("\"length\":7"), told);

        HttpURLConnection head = open(good + "/items", "HEAD");
        check(head.getResponseCode() == 200 && text(head.getInputStream()).isEmpty(), "HEAD");
        HttpURLConnection put = open(good + "/items", "DELETE");
        check(put.getResponseCode() == 200, "DELETE");

        // It follows the reference, which must not lead past us to an upstream that wants a token.
        told = body(open(good + "/moved", "GET"));
        check(told.contains("\"/items/new\""), told);

        // An error of the upstream's keeps its body and its reason.
        HttpURLConnection missing = open(good + "/missing", "GET");
        check(missing.getResponseCode() == 404, missing.getResponseCode());
        check(text(missing.getErrorStream()).equals("nothing here"), "the body of a 404");

        // One of ours says what is wrong in both places that such programs print.
        HttpURLConnection none = open(broken + "/items", "GET");
        check(none.getResponseCode() == 503, none.getResponseCode());
        check(none.getResponseMessage().startsWith("T021 "), none.getResponseMessage());
        String problem = text(none.getErrorStream());
        check(problem.contains("\"code\":\"T021\""), problem);
        check(none.getHeaderField("Retry-After") != null, none.getHeaderFields());
        check("application/problem+json".equals(none.getContentType()), none.getContentType());
        try {
            open(broken + "/items", "GET").getInputStream();
            check(false, "no exception");
        } catch (IOException exception) {
            check(exception.getMessage().contains("503"), exception.getMessage());
        }

        HttpURLConnection foreign = open(good + "/items", "GET");
        foreign.setRequestProperty("Host", "php-proxy");
        check(foreign.getResponseCode() == 421, foreign.getResponseCode());
        check(foreign.getResponseMessage().startsWith("C003 "), foreign.getResponseMessage());
        System.out.println("ok");
    }
}
