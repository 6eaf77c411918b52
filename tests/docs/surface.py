"""Commands in the pages name verbs and flags that bearerd has: the binary's own --help says which."""

import functools
import re
import shlex
import subprocess

VARIABLES = re.compile(r"^\w+=")
# What may stand before a command.
BEFORE = {"sudo", "if", "until", "!"}
ENDS = {"|", "||", "&", "&&", ";", ";;", "(", ")", ">", ">>", "<", "2>", "<<", "--"}


class Surface:
    def __init__(self, binary, pending=frozenset()):
        self.binary = binary
        self.pending = pending

    @functools.cache
    def help(self, *words):
        """`bearerd WORDS --help`, or None if there is no such verb."""
        done = subprocess.run([self.binary, *words, "--help"], capture_output=True, text=True, env={}, timeout=30)
        return done.stdout if done.returncode == 0 else None

    def verbs(self):
        return set(re.findall(r"^  ([a-z-]+)  ", self.help().split("Commands:")[1].split("Options:")[0], re.M))

    def mistakes(self, text, where):
        """What of the bearerd commands in TEXT does not exist."""
        for words in commands(text):
            yield from self._mistakes(words, where)

    def _mistakes(self, words, where):
        flags = {word.split("=")[0] for word in words if word.startswith("-") and word != "-"}
        if not words or words[0].startswith("-"):
            verb, text = "", self.help()
        else:
            verb = words[0]
            if verb in self.pending:
                return
            if verb not in self.verbs():
                yield f"{where}: there is no `bearerd {verb}`"
                return
            text = self.help(verb)
            # `import curl` has flags of its own.
            if len(words) > 1 and "\nCommands:" in text and re.match(r"[a-z]+$", words[1]):
                verb, text = f"{verb} {words[1]}", self.help(verb, words[1])
        for flag in sorted(flags):
            if text is None or not re.search(rf"(^|[\s,\[|]){re.escape(flag)}(?![\w-])", text):
                yield f"{where}: `bearerd {verb} --help` knows no {flag}"


def commands(text):
    """The words behind every `bearerd` that is run in TEXT."""
    text = re.sub(r"\\\n", " ", text)
    text = re.sub(r"<<'?(\w+)'?(.*)\n(?s:.*?)\n\1(?=\n|$)", r"\2", text)
    for line in text.splitlines():
        tokens = shlex.shlex(re.sub(r"[…⟨⟩]", "x", line), posix=True, punctuation_chars=True)
        tokens.whitespace_split = True
        try:
            words = list(tokens)
        except ValueError:
            continue
        at_start = True
        for place, word in enumerate(words):
            named = word == "bearerd" or (word.endswith("/bearerd") and not VARIABLES.match(word))
            # "/bearerd" is the program in the image, whoever runs it there.
            if word == "/bearerd" or (at_start and named):
                end = next((i for i in range(place + 1, len(words)) if words[i] in ENDS), len(words))
                yield words[place + 1 : end]
            at_start = word in ENDS or word in BEFORE or (at_start and bool(VARIABLES.match(word)))
