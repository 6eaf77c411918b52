//! `F…`: the configuration is wrong.

use super::Page;

const AT_START: &str = "bearerd run and bearerd check print it with file, line, column and key, together with every \
    other mistake, and end with exit code 78. Half a configuration is never started.";

pub(super) const UNREADABLE: Page = Page {
    meaning: "The configuration file cannot be opened or read, so bearerd does not start.",
    causes: &[
        "The path is wrong, or the file is not mounted.",
        "The user that bearerd runs as may not read it.",
        "The path is a directory.",
    ],
    cures: &[
        "Check the path that the message names, as bearerd's user: ls -lL FILE.",
        "Give the path with: bearerd run --config FILE.",
        "Start without a file: bearerd run --upstream URL --token-endpoint URL --client-id ID --client-secret-file \
            FILE.",
    ],
    shows: AT_START,
};

pub(super) const SYNTAX: Page = Page {
    meaning: "The file is not valid TOML from the named place on, so the rest cannot be read.",
    causes: &[
        "A text without quotes: upstream = https://… instead of upstream = \"https://…\".",
        "A key or a table that is written twice.",
        "A table in one line ({ … }) that goes on in the next line, or a bracket that is not closed.",
        "YAML or JSON instead of TOML.",
    ],
    cures: &[
        "Correct the line that the message shows; texts stand in double quotes, tables are [routes.NAME].",
        "Test it with: bearerd check.",
        "See config.example.toml, where every key stands with its default.",
    ],
    shows: AT_START,
};

pub(super) const UNKNOWN_KEY: Page = Page {
    meaning: "There is no such key in this table. Unknown keys are refused, because a misspelt one would silently do \
        nothing.",
    causes: &[
        "A typing mistake.",
        "The key belongs into another table.",
        "The key is what another program calls it.",
        "The file is for a newer version of bearerd.",
    ],
    cures: &[
        "Take the key that the message suggests, or look it up in config.example.toml.",
        "Move the key into its table: TOML gives every line to the nearest [table] above it.",
        "Use a newer bearerd if the key is new.",
    ],
    shows: AT_START,
};

pub(super) const NOT_YET: Page = Page {
    meaning: "This bearerd does not obey the key: its version or its build is another one. It is refused rather than ignored, so that nobody \
        relies on a protection or a feature that is not there.",
    causes: &[
        "The documentation or the file is ahead of this version.",
        "The key needs a part that this build was made without, such as traces.",
    ],
    cures: &[
        "Remove the key, if it works for you without.",
        "Use a build with the part: cargo build --release --features otel for [traces].",
        "Use a version of bearerd whose CHANGELOG names the key; bearerd --version shows yours.",
    ],
    shows: AT_START,
};

pub(super) const WRONG_VALUE: Page = Page {
    meaning: "The key exists, but does not take this value: the type is another one, a unit is missing, or it is none \
        of the words that the key knows.",
    causes: &[
        "A duration or size without unit: 10 instead of \"10s\", 65536 instead of \"64KiB\".",
        "A single value where a list is wanted, or the other way round.",
        "A URL without scheme, or with a user name in it.",
        "A word that is not in the list that the message shows.",
    ],
    cures: &[
        "Write the value as the message shows it; config.example.toml has an example of every key.",
        "Test it with: bearerd check.",
    ],
    shows: AT_START,
};

pub(super) const MISSING: Page = Page {
    meaning: "A key without which the table makes no sense is not there.",
    causes: &[
        "A route without upstream, or a credential without token_endpoint or issuer.",
        "There are several credentials, and a route does not say which one is its own.",
        "The key stands in another table than you think: TOML gives every line to the nearest [table] above it.",
    ],
    cures: &[
        "Add the key that the message names.",
        "Write credential = \"NAME\" (or \"none\") into a route if there is more than one credential.",
        "Start from the smallest complete file: a [routes.api] with upstream, a [credentials.api] with token_endpoint, \
            client_id and client_secret.",
    ],
    shows: AT_START,
};

pub(super) const CONTRADICTION: Page = Page {
    meaning: "Each of the keys is right by itself, but together they cannot be obeyed.",
    causes: &[
        "Two routes take the same requests of the same listener.",
        "A route names a credential that does not exist.",
        "A client authentication that needs a secret has none, or a grant misses what it needs.",
        "Two listeners want the same address.",
    ],
    cures: &[
        "Remove one of the keys that the message names, or change it.",
        "Give routes that share a listener different path or host values.",
        "Test it with: bearerd check.",
    ],
    shows: AT_START,
};

pub(super) const PLAIN_HTTP: Page = Page {
    meaning: "The URL is plain http and leads beyond this machine. Secrets and tokens would cross the network readable \
        by anybody on the way. So would the password of a token store: what is stored there is sealed, the password is not.",
    causes: &[
        "The URL should begin with https:// (or rediss://).",
        "The service is inside a cluster or a private network that has no TLS.",
        "TLS is added by a service mesh after bearerd.",
    ],
    cures: &[
        "Write https:// if the server has TLS.",
        "Set allow_plain_http = true beside the URL (in the route or the credential), or allow_plain_tcp = true in [store], if you accept that.",
        "Move bearerd next to the server, so that the URL is http://localhost.",
    ],
    shows: AT_START,
};

pub(super) const EXPOSED: Page = Page {
    meaning: "A listener can be reached from other machines, and nothing says who may call. Whoever reaches it could \
        act at the upstream in your name, so this has to be written down.",
    causes: &[
        "listen is \"0.0.0.0:…\", \"[::]:…\" or an address of the network; of \"fd:NAME\" that shows at start.",
        "In a container the application is in another container without a shared network namespace.",
    ],
    cures: &[
        "Use listen = \"localhost:8080\" where the application is on the same host or in the same pod.",
        "Add who may call: [callers] from = [\"10.42.0.0/16\"], or from = \"any\" if something else protects it.",
        "Ask callers for certificates: client_ca in [tls].",
        "Set admin.probe_listen instead, if only probes and metrics need to be reached from outside.",
    ],
    shows: AT_START,
};

pub(super) const SECRET: Page = Page {
    meaning: "A secret that the configuration names cannot be read: the file is missing, empty, unreadable or no text, the \
        environment variable is not set, the command failed, or pointer leads to no member of it. Its content is never shown, and of \
        what a command wrote to its standard error only what looks like no secret.",
    causes: &[
        "The path or the variable's name is wrong.",
        "The user that bearerd runs as may not read the file, or may not execute the command.",
        "The volume is not mounted, or the variable is not passed to the service.",
        "The file is empty.",
        "The command is not in PATH, fails, takes longer than its timeout, or prints nothing. It is run without a shell.",
        "The JSON has the member elsewhere: the message names the members that there are.",
    ],
    cures: &[
        "Check the file as bearerd's user: ls -lL FILE, and wc -c FILE for an empty one.",
        "Give that user the right to read it: chown and chmod 0400, or LoadCredential= in the systemd unit.",
        "Set the variable where the service is defined (Environment=, env:), or use { file = \"…\" } instead.",
        "Run the command by hand as bearerd's user: sudo -u bearerd PROGRAM … </dev/null. For pipes and variables name a shell: \
            command = [\"sh\", \"-c\", \"…\"].",
        "Test it with: bearerd check.",
    ],
    shows: AT_START,
};

pub(super) const FILE: Page = Page {
    meaning: "A file or directory that the configuration names (a CA, a certificate, its key, the state directory) is missing, \
        unreadable or not what it should be. At start that ends it; TLS files that become unusable while bearerd runs \
        leave it with what it had loaded before.",
    causes: &[
        "The path is wrong; relative paths are relative to the configuration file.",
        "The user that bearerd runs as may not read it, or may not write to the state directory.",
        "The file is no PEM certificate: DER, a private key, or an HTML page that was downloaded instead.",
        "The key belongs to another certificate, is encrypted, or the intermediate certificates come before our own.",
    ],
    cures: &[
        "Check the path that the message names, as bearerd's user: ls -lL FILE.",
        "Look whether it is a certificate: openssl x509 -in FILE -noout -subject -enddate; a DER file becomes PEM with \
            openssl x509 -inform der -in FILE -out FILE.pem.",
        "Check that certificate and key are a pair: openssl x509 -in CERTIFICATE -noout -pubkey and openssl pkey -in KEY -pubout print \
            the same.",
        "Make the state directory writable for that user, or use StateDirectory=bearerd in the systemd unit.",
    ],
    shows: AT_START,
};

pub(super) const LISTEN: Page = Page {
    meaning: "An address cannot be listened on, so bearerd does not start. It never shares a port with another \
        process, since that one would get half of the requests.",
    causes: &[
        "Another process, often an older bearerd, listens there.",
        "Ports below 1024 need a privilege that the user does not have.",
        "The address belongs to no interface of this machine or pod.",
    ],
    cures: &[
        "Look who listens there: ss -ltnp | grep :8080.",
        "Stop that process, or change listen (or admin.listen) to a free port.",
        "Use a port above 1024, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit.",
    ],
    shows: "bearerd run prints the address and what the system said, and does not start.",
};

pub(super) const INHERITED: Page = Page {
    meaning: "A listen = \"fd:NAME\" asks for a socket that the service manager binds and hands over at start, and there is \
        none of that name, or it is none that can be listened on. bearerd does not start, since it would serve nobody there.",
    causes: &[
        "bearerd was started by hand or by a service without a socket unit, so nothing was handed over.",
        "The name is another one: without FileDescriptorName= it is the name of the socket unit, such as bearerd.socket.",
        "A wrapper script starts bearerd as a child, whereas the sockets are for the script's own process.",
        "The socket unit has ListenDatagram=, or Accept=yes, which hands over single connections.",
    ],
    cures: &[
        "Take one of the names that the message lists, or set FileDescriptorName=NAME in the socket unit.",
        "Look what the unit hands over: systemctl show -p Listen -p FileDescriptorName -p Accept bearerd.socket.",
        "Add Sockets=NAME.socket to the service if the socket unit is called differently.",
        "Start bearerd from a script with: exec bearerd run.",
        "Write an address instead, such as listen = \"localhost:8080\".",
    ],
    shows: "bearerd run prints it with file, line, column and key, and ends with exit code 78. bearerd check cannot see \
        what will be handed over, and says so.",
};
