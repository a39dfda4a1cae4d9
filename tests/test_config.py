"""Configuration: all faults at once, YAML without its traps, overrides, round trip."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stance.config import Config, DataConfig, EncoderConfig, SourceConfig, dump_config, load_config
from stance.errors import ConfigError, StanceError, UsageError
from stance.records import Stance

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
MINIMAL = "data:\n  train:\n    - path: a.csv\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def faults_of(file: Path, text: str, *overrides: str) -> list[str]:
    """The lines of the message, without the folder of the file."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    return str(caught.value).replace(str(file), "config.yaml").splitlines()


def config_of(file: Path, text: str, *overrides: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load_config(file, overrides)


# faults


def test_all_faults_are_reported_at_once_with_path_line_and_suggestion(file: Path) -> None:
    text = (
        "sede: 13\n"
        "data:\n"
        "  train:\n"
        "    - pth: a.csv\n"
        "      labels:\n"
        "        FAVOR: suportive\n"
        "  near_duplicates: 0.7\n"
        "training:\n"
        "  epochs: many\n"
        "  lerning_rate: 3e-5\n"
    )
    faults = faults_of(file, text, "nonsense", "training.batch_size=0")
    expected = {
        "override 'nonsense': expected section.key=value, e.g. training.epochs=2",
        "config.yaml:1: sede: unknown key; did you mean 'seed'?",
        "config.yaml:4: data.train.0.path: missing, and it has no default",
        "config.yaml:4: data.train.0.pth: unknown key; did you mean 'path'?",
        "config.yaml:7: data.near_duplicates: unknown key; did you mean 'near_duplicate'?",
        "config.yaml:10: training.lerning_rate: unknown key; did you mean 'learning_rate'?",
        "config.yaml: training.batch_size: input should be greater than or equal to 1, not 0",
    }
    assert expected <= set(faults)
    assert any(f.startswith("config.yaml:6: data.train.0.labels.FAVOR: ") for f in faults)
    assert any(f.startswith("config.yaml:9: training.epochs: ") and "'many'" in f for f in faults)
    assert len(faults) == len(expected) + 2


def test_missing_section_is_named(file: Path) -> None:
    assert faults_of(file, "seed: 1\n") == ["config.yaml: data: missing, and it has no default"]


def test_empty_file_misses_its_data(file: Path) -> None:
    assert faults_of(file, "") == ["config.yaml: data: missing, and it has no default"]


def test_unknown_key_without_a_near_one_lists_the_known(file: Path) -> None:
    [fault] = faults_of(file, MINIMAL + "zzz: 1\n")
    assert fault == (
        "config.yaml:4: zzz: unknown key; known keys: seed, output, data, inputs, encoder, training,"
        " distillation, export"
    )


def test_unknown_key_in_a_later_list_entry_has_its_own_line(file: Path) -> None:
    text = MINIMAL + "    - path: b.csv\n      colums: {text: Tweet}\n"
    assert faults_of(file, text) == [
        "config.yaml:5: data.train.1.colums: unknown key; did you mean 'columns'?"
    ]


def test_wrong_type_of_a_whole_section_names_the_section(file: Path) -> None:
    [fault] = faults_of(file, MINIMAL + "training: fast\n")
    assert fault.startswith("config.yaml:4: training: ")
    assert fault.endswith("not 'fast'")


def test_empty_list_of_sources_is_a_fault(file: Path) -> None:
    [fault] = faults_of(file, "data:\n  train: []\n")
    assert fault.startswith("config.yaml:2: data.train: ")


def test_label_outside_the_guideline_lists_the_labels(file: Path) -> None:
    [fault] = faults_of(file, MINIMAL + "      labels: {AGAINST: anti}\n")
    assert "'supportive', 'conditional', 'opposed' or 'none'" in fault
    assert fault.endswith("not 'anti'")


def test_number_as_a_key_is_a_fault_not_a_crash(file: Path) -> None:
    assert faults_of(file, MINIMAL + "1: 2\n") == ["config.yaml:4: 1: keys should be strings, not 1"]


# YAML and its traps


def test_key_that_stands_twice_is_a_fault_with_both_lines(file: Path) -> None:
    text = MINIMAL + "training:\n  epochs: 2\n  batch_size: 8\n  epochs: 3\n"
    assert faults_of(file, text) == [
        "config.yaml:7: training.epochs: stands twice (first in line 5); keep one"
    ]


def test_key_that_stands_twice_in_a_list_entry_is_a_fault(file: Path) -> None:
    assert faults_of(file, MINIMAL + "      path: b.csv\n") == [
        "config.yaml:4: data.train.0.path: stands twice (first in line 3); keep one"
    ]


def test_the_same_key_in_two_list_entries_is_none(file: Path) -> None:
    config = config_of(file, MINIMAL + "    - path: b.csv\n")
    assert [source.path for source in config.data.train] == ["a.csv", "b.csv"]


@pytest.mark.parametrize("number", ["3e-5", "3E-5", "3.e-5", "0.00003", "+3e-5"])
def test_number_in_any_notation_is_a_float(file: Path, number: str) -> None:
    assert config_of(file, f"{MINIMAL}training: {{learning_rate: {number}}}\n").training.learning_rate == 3e-5


@pytest.mark.parametrize("word", ["no", "NO", "yes", "on", "Off", "y", "1:30", "2024-01-15", "2024-02-30"])
def test_word_that_older_yaml_converts_stays_a_string(file: Path, word: str) -> None:
    assert config_of(file, f"{MINIMAL}output: {word}\n").output == word


def test_unquoted_none_and_no_are_labels_of_a_file(file: Path) -> None:
    labels = config_of(file, MINIMAL + "      labels: {NO: opposed, on: none}\n").data.train[0].labels
    assert labels == {"NO": Stance.OPPOSED, "on": Stance.NONE}


@pytest.mark.parametrize(("word", "value"), [("true", True), ("False", False)])
def test_true_and_false_are_booleans(file: Path, word: str, value: bool) -> None:
    assert config_of(file, f"{MINIMAL}inputs: {{context: {word}}}\n").inputs.context is value


def test_word_true_is_no_string(file: Path) -> None:
    [fault] = faults_of(file, MINIMAL + "output: true\n")
    assert fault == "config.yaml:4: output: input should be a valid string, not True"


def test_number_with_a_leading_zero_is_decimal(file: Path) -> None:
    assert config_of(file, MINIMAL + "seed: 012\n").seed == 12


def test_invalid_yaml_names_the_line(file: Path) -> None:
    [fault] = faults_of(file, MINIMAL + "training: [1, 2\nseed: 3\n")
    assert fault.startswith("config.yaml:5: not valid YAML: ")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("seed: 1\noutput: \x07\n", "config.yaml:2: not valid YAML: "),
        ("seed: " + "9" * 5000, "config.yaml: not valid YAML: "),
        ("[" * 3000, "config.yaml: not valid YAML: "),
        ("seed: &x [*x]\n", "config.yaml: not valid YAML: "),
        ("? [a]\n: b\n", "config.yaml:1: not valid YAML: "),
        ("seed: !!python/name:os.system\n", "config.yaml:1: not valid YAML: "),
        ("seed: 1\n---\nseed: 2\n", "config.yaml:2: not valid YAML: "),
    ],
    ids=["control character", "long number", "deep", "recursive", "key", "python tag", "two documents"],
)
def test_yaml_that_cannot_be_built_is_a_fault(file: Path, text: str, start: str) -> None:
    assert faults_of(file, text)[0].startswith(start)


@pytest.mark.parametrize(("text", "kind"), [("- a\n- b\n", "list"), ("words\n", "str"), ("3\n", "int")])
def test_top_level_that_is_no_mapping_is_a_fault(file: Path, text: str, kind: str) -> None:
    assert faults_of(file, text) == [f"config.yaml: expected sections such as `data:`, found {kind}"]


def test_file_that_is_not_utf8_is_a_fault(file: Path) -> None:
    file.write_bytes(b"output: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: not UTF-8 text \(byte 11\)"):
        load_config(file)


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the config .*none\.yaml: No such file"):
        load_config(tmp_path / "none.yaml")


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("[]{}:-&*!?\n '\"#,"), max_size=60))
def test_any_text_is_a_config_or_a_stance_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(MINIMAL + text, encoding="utf-8")
    message = str(file)
    try:
        load_config(file)
    except StanceError as error:
        message = str(error)
    assert str(file) in message


# overrides


def test_override_replaces_a_nested_value(file: Path) -> None:
    config = config_of(file, MINIMAL + "training: {epochs: 3}\n", "training.epochs=0.5", "output=runs/two")
    assert (config.training.epochs, config.output) == (0.5, "runs/two")


def test_override_adds_a_section_that_the_file_lacks(file: Path) -> None:
    assert config_of(file, MINIMAL, "encoder.layers=[0, 2]").encoder.layers == [0, 2]


def test_override_fills_a_section_that_is_empty_in_the_file(file: Path) -> None:
    assert config_of(file, MINIMAL + "encoder:\n", "encoder.dropout=0").encoder.dropout == 0


def test_override_reaches_into_a_list(file: Path) -> None:
    config = config_of(file, MINIMAL + "    - path: b.csv\n", "data.train.1.sample=5")
    assert [source.sample for source in config.data.train] == [None, 5]


def test_override_replaces_a_list_entry(file: Path) -> None:
    config = config_of(file, MINIMAL, "data.train.0={path: c.csv, format: tsv}")
    assert config.data.train == [SourceConfig(path="c.csv", format="tsv")]


def test_override_replaces_a_section(file: Path) -> None:
    config = config_of(file, MINIMAL + "training: {epochs: 9, batch_size: 8}\n", "training={epochs: 2}")
    assert (config.training.epochs, config.training.batch_size) == (2, 32)


def test_the_last_override_wins(file: Path) -> None:
    assert config_of(file, MINIMAL, "seed=1", "seed=2").seed == 2


def test_value_of_an_override_may_hold_an_equals_sign(file: Path) -> None:
    assert config_of(file, MINIMAL, "output=runs/a=b").output == "runs/a=b"


@pytest.mark.parametrize("value", ["[", "*a", "2024-02-30", "[" * 3000])
def test_value_of_an_override_that_is_no_yaml_is_a_string(file: Path, value: str) -> None:
    assert config_of(file, MINIMAL, f"output={value}").output == value


@pytest.mark.parametrize("override", ["training.epochs", "", "=3", "training..epochs=2", ".seed=1"])
def test_override_of_a_bad_form_is_a_fault(file: Path, override: str) -> None:
    assert faults_of(file, MINIMAL, override) == [
        f"override {override!r}: expected section.key=value, e.g. training.epochs=2"
    ]


def test_unknown_key_in_an_override_has_a_suggestion_and_no_line(file: Path) -> None:
    assert faults_of(file, MINIMAL, "trainig.epochs=2") == [
        "config.yaml: trainig: unknown key; did you mean 'training'?"
    ]


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("output.name=x", "output"),
        ("data.train.5.path=x", "data.train.5"),
        ("data.train.5=x", "data.train"),
        ("data.train.\u00b2.path=x", "data.train.\u00b2"),
    ],
)
def test_override_below_a_value_is_a_fault(file: Path, override: str, place: str) -> None:
    assert faults_of(file, MINIMAL + "output: runs\n", override) == [
        f"override {override!r}: {place} is not a section"
    ]


def test_fault_of_an_overridden_value_does_not_point_into_the_file(file: Path) -> None:
    text = MINIMAL + "training:\n  epochs: 3\n"
    [fault] = faults_of(file, text, "training.epochs=-1")
    assert fault == "config.yaml: training.epochs: input should be greater than 0, not -1"


# round trip and the configurations of the repository


@settings(max_examples=100, deadline=None)
@given(
    st.builds(
        Config,
        seed=st.integers(0, 2**32 - 1),
        # PyYAML folds the line ends of Unicode, which a path does not hold
        output=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029"))
        | st.sampled_from(
            ["no", "true", "1e5", "3e-5", "null", "012", "1:30", "2024-01-15", "~", ".5", "0o7"]
        ),
        data=st.builds(
            DataConfig,
            train=st.lists(
                st.builds(
                    SourceConfig,
                    path=st.from_regex(r"[0-9e.\-_+]{1,8}", fullmatch=True),
                    labels=st.dictionaries(st.text("NOyes10e"), st.sampled_from(Stance)),
                ),
                min_size=1,
                max_size=3,
            ),
            validation_fraction=st.floats(1e-9, 0.49),
        ),
        encoder=st.builds(EncoderConfig, revision=st.none() | st.from_regex("[0-9]+e[0-9]+", fullmatch=True)),
    )
)
def test_load_of_dump_gives_the_same_config(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    file = tmp_path_factory.getbasetemp() / "dump.yaml"
    file.write_text(dump_config(config), encoding="utf-8")
    assert load_config(file) == config


def test_repository_has_its_configs() -> None:
    assert {"default.yaml", "smoke.yaml"} <= {path.name for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_config_of_the_repository_loads_and_its_files_exist(path: Path) -> None:
    data = load_config(path).data
    # files under data/ belong to the repository; others, and texts joined to their labels, are the reader's
    named = [source.path for source in (*data.train, *data.validation)]
    ours = [name for name in named if name.startswith("data/") and not name.startswith("data/resolved/")]
    assert [name for name in ours if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_config_of_the_repository_opens_with_its_command_line(path: Path) -> None:
    assert path.read_text(encoding="utf-8").splitlines()[0] == f"# stance train configs/{path.name}"
