"""Every page of docs/ and README.md: its commands run, its configurations are accepted, its links lead somewhere. Run: ./ci docs"""

import json
import os
import re
import unittest

import configurations
import pages
import shell
import surface
import vendors

BINARY = os.environ.get("BEARERD_BINARY") or str(pages.ROOT / "target/debug/bearerd")
PAGES = pages.all_pages()
# What other pages may speak of although it is not there yet. An entry that is there has to go from here.
PENDING_VERBS: set[str] = set()
PENDING_FILES: set[str] = set()


class Pages(unittest.TestCase):
    maxDiff = None

    def assert_none(self, mistakes):
        self.assertEqual("\n".join(mistakes), "")

    def each_page(self, check):
        for page in PAGES:
            with self.subTest(page.name):
                self.assert_none(check(page))

    def test_the_first_line_of_each_block_is_understood(self):
        self.each_page(pages.mistakes_of_form)

    def test_relative_links_lead_to_a_file_and_a_heading(self):
        self.each_page(lambda page: pages.broken_links(page, PENDING_FILES))

    def test_commands_name_verbs_and_flags_that_there_are(self):
        known = surface.Surface(BINARY, PENDING_VERBS)

        def check(page):
            for block in page.blocks:
                if block.language == "sh":
                    yield from known.mistakes(block.text, block.where)
            for line, span in page.code_spans():
                if re.match(r"bearerd [a-z-]", span):
                    yield from known.mistakes(span, f"{page.name}:{line}")

        self.each_page(check)

    def test_configurations_are_accepted(self):
        def check(page):
            for block in page.blocks:
                if block.language == "toml":
                    yield from configurations.mistakes(block, BINARY)

        self.each_page(check)

    def test_yaml_and_json_can_be_parsed(self):
        def check(page):
            for block in page.blocks:
                try:
                    if block.language == "json":
                        json.loads(block.text)
                    elif block.language == "yaml":
                        list(_yaml().safe_load_all(block.text))
                except (ValueError, *_yaml_errors()) as error:
                    yield f"{block.where}: {error}"

        self.each_page(check)

    def test_commands_run_word_for_word(self):
        self.each_page(lambda page: shell.mistakes(page, BINARY, PENDING_VERBS))

    def test_pages_are_short(self):
        made = {"docs/reason-codes.md", "docs/configuration.md", "README.md"}
        for page in PAGES:
            if page.name not in made:
                self.assertLessEqual(page.text.count("\n"), 170, page.name)

    def test_every_page_can_be_found_from_the_index(self):
        index = next(page for page in PAGES if page.name == "docs/README.md")
        reached = {(index.path.parent / target.split("#")[0]).resolve() for _, target in index.links()}
        for page in PAGES:
            if page.name.startswith("docs/") and page is not index:
                self.assertIn(page.path, reached, page.name)

    def test_the_vendors_are_those_of_init(self):
        page = pages.ROOT / "docs/recipes/vendors.md"
        self.assertEqual(page.read_text(), vendors.made(BINARY), "make it anew, as tests/docs/vendors.py says")

    def test_what_is_pending_is_not_there(self):
        known = surface.Surface(BINARY)
        self.assertEqual(PENDING_VERBS & known.verbs(), set(), "take it out of PENDING_VERBS")
        there = {name for name in PENDING_FILES if (pages.ROOT / name).exists()}
        self.assertEqual(there, set(), "take it out of PENDING_FILES")


class Observability(unittest.TestCase):
    def test_every_metric_is_explained_and_no_other(self):
        page = next(page for page in PAGES if page.name == "docs/observability.md")
        told = set(re.findall(r"^\| `(bearerd_[a-z_]+)", page.text, re.M))
        code = "".join(
            file.read_text().split("#[cfg(test)]")[0]
            for file in [pages.ROOT / "src/metrics.rs", *(pages.ROOT / "src/metrics").rglob("*.rs")]
        )
        self.assertEqual(told, set(re.findall(r'"(bearerd_[a-z_]+)"', code)))


class Troubleshooting(unittest.TestCase):
    def test_every_reason_code_is_there(self):
        page = next(page for page in PAGES if page.name == "docs/troubleshooting.md")
        known = set(re.findall(r'"([TUCF]\d{3})"', (pages.ROOT / "src/reason.rs").read_text()))
        self.assertGreater(len(known), 50)
        told = set(re.findall(r"\(reason-codes\.md#([tucf]\d{3})\)", page.text))
        self.assertEqual({code.lower() for code in known}, told)


def _yaml():
    try:
        import yaml
    except ImportError:
        raise unittest.SkipTest("PyYAML is not installed: the yaml blocks are not checked") from None
    return yaml


def _yaml_errors():
    try:
        import yaml
    except ImportError:
        return ()
    return (yaml.YAMLError,)


if __name__ == "__main__":
    unittest.main()
