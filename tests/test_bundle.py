"""The model directory: written as a whole, verified when read, found by path or name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stance.bundle import FORMAT_VERSION, find_bundle, read_manifest, sha256, write_bundle
from stance.config import InputConfig
from stance.errors import BundleError, UsageError
from stance.records import LABELS

MakeBundle = Callable[..., Path]


def edit_manifest(bundle: Path, **changes: Any) -> None:
    content = json.loads((bundle / "stance.json").read_text())
    (bundle / "stance.json").write_text(json.dumps(content | changes))


@pytest.fixture
def bundle(tmp_path: Path, make_bundle: MakeBundle) -> Path:
    return make_bundle(tmp_path / "bundle")


def test_what_was_written_is_read(tmp_path: Path, make_bundle: MakeBundle) -> None:
    facts = {
        "name": "m",
        "labels": list(LABELS),
        "inputs": InputConfig(mask_actor=False, context=False, max_tokens=64),
        "temperature": 1.7,
        "min_confidence": 0.4,
        "pad_id": 3,
        "quantisation": "int8",
        "encoder": "some/encoder",
        "created": "2026-01-01",
        "data_sha256": "ab",
        "scores": {"macro_f1": 0.5},
    }
    manifest = read_manifest(make_bundle(tmp_path / "new" / "bundle", **facts))
    assert manifest.model_dump() == facts | {
        "format_version": FORMAT_VERSION,
        "config": None,
        "files": manifest.files,
        "inputs": {"mask_actor": False, "context": False, "max_tokens": 64},
    }


def test_model_and_tokenizer_are_copied_byte_by_byte(bundle: Path, tiny_parts: Path) -> None:
    assert sorted(path.name for path in bundle.iterdir()) == ["model.onnx", "stance.json", "tokenizer.json"]
    for name in ("model.onnx", "tokenizer.json"):
        assert (bundle / name).read_bytes() == (tiny_parts / name).read_bytes()
        assert read_manifest(bundle).files[name] == sha256(bundle / name)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_changed_file_is_refused_by_its_name(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[-1] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}: sha256 differs"):
        read_manifest(bundle)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_is_refused_by_its_name(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}: missing"):
        read_manifest(bundle)


def test_a_newer_format_is_refused_with_what_to_do(bundle: Path) -> None:
    # fields that this version does not know must not be what the message is about
    edit_manifest(bundle, format_version=FORMAT_VERSION + 1, new_field=1)
    with pytest.raises(BundleError, match=rf"format version {FORMAT_VERSION + 1}.*upgrade stance"):
        read_manifest(bundle)


def test_labels_in_another_order_are_refused(bundle: Path) -> None:
    edit_manifest(bundle, labels=["none", "conditional", "opposed", "supportive"])
    with pytest.raises(BundleError, match="in this order"):
        read_manifest(bundle)


def test_foreign_labels_are_refused(bundle: Path) -> None:
    edit_manifest(bundle, labels=["FAVOR", "AGAINST"])
    with pytest.raises(BundleError, match=r"labels\.0"):
        read_manifest(bundle)


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"min_confidence": 2}, {"surprise": 1}])
def test_a_manifest_with_a_bad_field_is_refused_by_the_field(bundle: Path, change: dict[str, Any]) -> None:
    edit_manifest(bundle, **change)
    with pytest.raises(BundleError, match=next(iter(change))):
        read_manifest(bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b'{"name": "x"}', b"\xff\xfe"])
def test_a_manifest_that_is_none_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "stance.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"stance\.json: damaged"):
        read_manifest(bundle)


def test_a_directory_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no stance\.json"):
        read_manifest(tmp_path)


def test_a_directory_of_something_else_is_not_overwritten(tmp_path: Path, make_bundle: MakeBundle) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is no model bundle"):
        make_bundle(tmp_path / "thesis")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


def test_a_file_in_the_place_of_a_bundle_is_not_overwritten(tmp_path: Path, make_bundle: MakeBundle) -> None:
    (tmp_path / "thesis").write_text("years of work")
    with pytest.raises(UsageError, match="is no model bundle"):
        make_bundle(tmp_path / "thesis")
    assert (tmp_path / "thesis").read_text() == "years of work"


def test_an_empty_directory_becomes_a_bundle(tmp_path: Path, make_bundle: MakeBundle) -> None:
    (tmp_path / "bundle").mkdir()
    assert read_manifest(make_bundle(tmp_path / "bundle")).name == "tiny"


def test_an_older_bundle_is_replaced_wholly(bundle: Path, make_bundle: MakeBundle) -> None:
    (bundle / "left_over.txt").write_text("of the old one")
    make_bundle(bundle, name="second")
    assert read_manifest(bundle).name == "second"
    assert not (bundle / "left_over.txt").exists()
    assert list(bundle.parent.iterdir()) == [bundle]


def test_a_failed_write_keeps_the_older_bundle_and_leaves_nothing(bundle: Path, tiny_parts: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_bundle(bundle, model=tiny_parts / "model.onnx", tokenizer=tiny_parts / "none.json", name="new")
    assert read_manifest(bundle).name == "tiny"
    assert list(bundle.parent.iterdir()) == [bundle]


def test_a_bundle_is_found_by_its_path(bundle: Path) -> None:
    assert find_bundle(str(bundle)) == bundle


def test_a_shipped_bundle_is_found_by_its_name(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stance.bundle.SHIPPED", tmp_path)
    assert find_bundle("bundle") == bundle


def test_an_unknown_name_is_answered_with_the_shipped_ones(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stance.bundle.SHIPPED", tmp_path)
    with pytest.raises(UsageError, match=r"no model 'bundel'.*\['bundle'\]"):
        find_bundle("bundel")


def test_a_path_that_holds_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no stance\.json there"):
        find_bundle(tmp_path)


def test_a_path_that_is_not_there_does_not_ask_the_hub(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give the path of a bundle"):
        find_bundle(tmp_path / "nowhere")


def test_a_hub_id_without_the_hub_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"pip install 'stance\[hub\]'"):
        find_bundle("owner/name")


def test_a_hub_id_without_network_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="no bundle 'owner/name' here"):
        find_bundle("owner/name")
