"""The checks of the pages find what they are for: each is shown a page with one mistake. Run: ./ci docs"""

import unittest

import configurations
import pages
import shell
import surface
import test_pages

BINARY = test_pages.BINARY
SMALLEST = """
[routes.api]
upstream = "https://api.example.com"
[credentials.api]
token_endpoint = "https://login.example.com/oauth/token"
client_id = "x"
client_secret = { file = "/run/secrets/x" }
"""


def page(text):
    return pages.Page(pages.ROOT / "docs" / "made-up.md", text)


def block(kind, text):
    return f"```{kind}\n{text.strip()}\n```\n"


class Form(unittest.TestCase):
    def mistakes(self, text):
        return list(pages.mistakes_of_form(page(text)))

    def test_what_is_understood_passes(self):
        understood = ("sh", "sh server", "sh skip=docker", "toml fragment", "toml fragment otel", "toml file=a.toml", "yaml")
        for kind in (*understood, "text output"):
            self.assertEqual(self.mistakes(block(kind, "x")), [], kind)

    def test_what_is_not_is_found(self):
        for kind in ("bash", "", "sh skip", "sh skip=lazy", "sh srver", "toml partial", "yaml skip=docker"):
            self.assertEqual(len(self.mistakes(block(kind, "x"))), 1, kind)

    def test_a_block_without_end_is_found(self):
        with self.assertRaisesRegex(ValueError, "made-up.md:1: .* never ends"):
            page("```sh\nls\n")


class Links(unittest.TestCase):
    def mistakes(self, text):
        return list(pages.broken_links(page(text)))

    def test_links_that_lead_somewhere_pass(self):
        text = "# A page, of *two* words\n[a](../README.md) [b](reason-codes.md#t021) [c](#a-page-of-two-words) [d](https://x)"
        self.assertEqual(self.mistakes(text), [])

    def test_links_that_lead_nowhere_are_found(self):
        for target in ("gone.md", "reason-codes.md#t999", "#nothing"):
            self.assertEqual(len(self.mistakes(f"[x]({target})")), 1, target)

    def test_code_is_no_link(self):
        self.assertEqual(self.mistakes("`[x](gone.md)`\n" + block("text", "[x](gone.md)")), [])


class Commands(unittest.TestCase):
    def mistakes(self, text):
        return list(surface.Surface(BINARY).mistakes(text, "x"))

    def test_what_there_is_passes(self):
        for text in (
            "bearerd check --fetch bearerd.toml",
            "sudo CREDENTIALS_DIRECTORY=/etc/bearerd bearerd check --fetch /x.toml && bearerd healthcheck --ready | cat --nothing",
            "bearerd run --upstream https://x \\\n  --client-id y",
            "bearerd import curl --name api 'curl --digest x'",
            "bearerd import curl - <<'EOF'\nbearerd unknown --flag\nEOF",
            "bearerd --version",
            "kubectl --namespace bearerd get pods",
        ):
            self.assertEqual(self.mistakes(text), [], text)

    def test_what_there_is_not_is_found(self):
        for text in (
            "bearerd serve",
            "bearerd check --fetsh x",
            "bearerd run \\\n  --client-secret x",
            "true && /usr/bin/bearerd demo --nothing",
            "bearerd import curl --nme x",
            "bearerd --verzion",
            "docker compose exec bearerd /bearerd healthchek",
            "kubectl exec x -- /bearerd healthcheck --redy",
            "X=1 bearerd serve",
        ):
            self.assertEqual(len(self.mistakes(text)), 1, text)


class Configurations(unittest.TestCase):
    def mistakes(self, kind, text):
        return configurations.mistakes(page(block(kind, text)).blocks[0], BINARY)

    def test_a_whole_one_and_a_fragment_pass(self):
        self.assertEqual(self.mistakes("toml", SMALLEST), [])
        self.assertEqual(self.mistakes("toml fragment", '[callers]\nfrom = ["10.0.0.0/8"]'), [])
        self.assertEqual(self.mistakes("toml fragment", '[routes.a]\ncredential = "b"'), [])

    def test_a_fragment_is_not_a_whole_one(self):
        self.assertNotEqual(self.mistakes("toml", '[callers]\nfrom = ["10.0.0.0/8"]'), [])

    def test_unknown_keys_and_wrong_values_are_found(self):
        for kind, text in (
            ("toml", SMALLEST.replace("client_id", "client_idd")),
            ("toml fragment", "[callers]\nform = []"),
            ("toml fragment", '[limits]\nqueue = "soon"'),
            ("toml fragment", "[limits"),
        ):
            self.assertNotEqual(self.mistakes(kind, text), [], text)


class Shell(unittest.TestCase):
    def mistakes(self, *blocks):
        return shell.mistakes(page("".join(blocks)), BINARY)

    def test_blocks_run_in_order_in_one_directory(self):
        written = block("toml file=a.toml", "x = 1")
        self.assertEqual(self.mistakes(block("sh", "test -z \"$(ls)\""), written, block("sh", "grep x a.toml")), [])

    def test_one_that_fails_is_found(self):
        for text in ("false", "false\ntrue", "false | true", "bearerd nothing"):
            self.assertEqual(len(self.mistakes(block("sh", text))), 1, text)

    def test_what_is_printed_is_compared(self):
        self.assertEqual(self.mistakes(block("sh", "echo a 12 b; echo c"), block("text output", "a … b\nc")), [])
        self.assertEqual(len(self.mistakes(block("sh", "echo c; echo a"), block("text output", "a\nc"))), 1)

    def test_ports_are_free_ones_and_read_as_those_of_the_page(self):
        text = block("sh", 'p=8081; test "$p" != "80""81"; echo "localhost:$p"'), block("text output", "localhost:8081")
        self.assertEqual(self.mistakes(*text), [])
        self.assertEqual(len(self.mistakes(block("sh", "echo localhost:7777"))), 1)

    def test_a_server_serves_until_the_page_ends(self):
        up = block("sh server", "echo admin listening; touch up; sleep 600")
        self.assertEqual(self.mistakes(up, block("sh", "test -e up || sleep 1; test -e up")), [])
        self.assertEqual(len(self.mistakes(block("sh server", "echo no"))), 1)

    def test_what_is_skipped_does_not_run(self):
        self.assertEqual(self.mistakes(block("sh skip=docker", "false"), block("text output", "x")), [])
        later = page(block("sh", "bearerd later") + block("text output", "x"))
        self.assertEqual(shell.mistakes(later, BINARY, {"later"}), [])
        self.assertEqual(len(shell.mistakes(later, BINARY)), 1)


if __name__ == "__main__":
    unittest.main()
