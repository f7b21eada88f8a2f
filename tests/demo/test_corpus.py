from __future__ import annotations

import subprocess
import sys

import pytest

from ragwatch.demo.builtin import builtin_documents
from ragwatch.demo.corpus import PythonCorpus, open_corpus
from ragwatch.demo.document import Document
from ragwatch.demo.index import Index
from ragwatch.demo.library import parse_library
from ragwatch.demo.stdlib import stdlib_documents
from ragwatch.demo.topics import topic_documents


def test_the_corpus_of_this_python_has_at_least_seven_thousand_documents(python_index: Index) -> None:
    assert len(python_index) >= 7000
    assert len(set(python_index.ids)) == len(python_index)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("shutil.copytree", "Recursively copy a directory tree"),
        ("str.split", "Return a list of the"),
        ("math.floor", "Return the floor of x"),
        ("itertools.chain", "chain object"),
        ("asyncio.gather", "aggregating results"),
        ("concurrent.futures.ThreadPoolExecutor", "ThreadPoolExecutor"),
        ("os.mkdir", "Create a directory"),
        ("os.path.splitext", "Split the extension"),
        ("random.shuffle", "Shuffle list x in place"),
        ("bisect.insort", "Insert item x in list a"),
        ("re.Pattern.sub", "replacing the leftmost"),
        ("hmac.compare_digest", "timing"),
        ("collections.Counter.most_common", "most common"),
        ("topics/with.1", "context manager"),
        ("topics/lambda.1", "anonymous function"),
    ],
)
def test_a_name_is_filed_where_people_look_for_it(python_index: Index, key: str, text: str) -> None:
    document = python_index.document(key)
    assert document is not None
    assert text in document.text
    assert document.id == key


def test_private_names_and_tests_are_left_out(python_index: Index) -> None:
    inner = [key for key in python_index.ids if not key.startswith(("topics/", "_thread"))]
    assert not [key for key in inner if any(p.startswith("_") and not p.endswith("__") for p in key.split("."))]
    assert not [key for key in inner if key.split(".")[0] in {"test", "idlelib", "lib2to3"}]


def test_the_reference_entry_of_a_name_stands_with_the_name(python_index: Index) -> None:
    document = python_index.document("str.split")
    assert document is not None
    assert "consecutive delimiters" in document.text


def test_reading_the_sources_imports_none_of_them() -> None:
    script = (
        "import sys, sysconfig\n"
        "sysconfig.get_paths()\n"
        "from ragwatch.demo.library import parse_library\n"
        "from ragwatch.demo.stdlib import stdlib_documents\n"
        "before = set(sys.modules)\n"
        "stdlib_documents(parse_library())\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100)
    new = [name for name in eval(out.stdout) if not name.startswith(("encodings", "_sysconfigdata"))]
    assert new == []


def test_a_package_and_its_private_module_are_known_under_the_public_name(tmp_path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text('"""A package."""\nfrom ._inner import *\nfrom pkg.part import open_it\n')
    (package / "_inner.py").write_text(
        '__all__ = ["run"]\ndef run(x, /, y=1):\n    """Run x."""\ndef other():\n    "No."\n'
    )
    (package / "part.py").write_text(
        '# Opens it.\ndef open_it(): pass\ndef close_it(self):\n    "Close."\nstart = open_it\n'
        'if True:\n    class Door:\n        "A door."\n        def __init__(self, width):\n            "Width in cm."\n'
        '        def _secret(self):\n            "No."\n'
    )
    (package / "broken.py").write_text("def (")
    found = {document.id: document for document in stdlib_documents(parse_library(tmp_path))}
    assert sorted(found) == ["pkg", "pkg.open_it", "pkg.part.Door", "pkg.part.close_it", "pkg.part.start", "pkg.run"]
    assert found["pkg.run"].text == "pkg.run(x, /, y=1)\n\nRun x."
    assert found["pkg.part.Door"].text == "class pkg.part.Door(width)\n\nA door.\n\nWidth in cm."
    assert found["pkg.open_it"].text.endswith("Opens it.")


def test_c_functions_are_not_filed_under_a_module_that_lacks_them() -> None:
    import functools
    import hashlib

    for document in builtin_documents():
        module, _, name = document.id.rpartition(".")
        if module == "functools":
            assert hasattr(functools, name)
        if module == "hashlib" and name not in {"HASH", "HMAC"}:  # what hashlib.new() and hmac.new() return
            assert hasattr(hashlib, name)


def test_topics_are_cut_at_headings_and_stand_once() -> None:
    texts = {
        "short": "The thing\n*********\n\nWhat it does.\n",
        "long": "All\n***\n\nIntroduction.\n\nstr.split(sep)\n\n   Cuts.\n\n\nThe thing\n=========\n\nWhat it does.\n",
    }
    sections, notes = topic_documents({"str.split"}, texts)
    assert [(section.id, section.title, section.text) for section in sections] == [
        ("topics/short.1", "short: The thing", "What it does."),
        ("topics/long.1", "long: All", "Introduction."),
    ]
    assert notes == {"str.split": "str.split(sep)\n\n   Cuts."}


def test_without_a_directory_the_corpus_is_this_python() -> None:
    corpus = open_corpus()
    assert isinstance(corpus, PythonCorpus)
    assert corpus.fingerprint() == corpus.fingerprint()


def test_names_that_the_library_uses_have_the_greater_prior(python_index: Index) -> None:
    used, unused = python_index.document("os.path.join"), python_index.document("distutils.dir_util.create_tree")
    deep = python_index.document("logging.handlers.RotatingFileHandler.doRollover")
    assert used is not None
    assert deep is not None
    assert used.prior > deep.prior
    if unused is not None:
        assert used.prior > unused.prior
    assert Document("a", "a", "", "").prior == 0
