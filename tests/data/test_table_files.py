"""Table files: what containers, dialects and other programs' layouts mean is read, the rest is asked or refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest

from noiseproof import data
from noiseproof.data.readers import csv_table
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.errors import DataError
from support.made_files import (
    CLASSES,
    COUNT,
    MESSAGES,
    NUMBERS,
    TEXTS,
    TOPICS,
    json_lines,
    labels_of,
    sample_lines,
    table,
    write,
)

WORDS = ["so good", "so bad", "quite good", "quite bad"] * 5
LABELS = ["+", "-", "+", "-"] * 5
TABLE = "text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(WORDS, LABELS, strict=True))
WEKA = "% made by hand\n@RELATION r\n@ATTRIBUTE w NUMERIC\n@ATTRIBUTE label {a,b,c}\n@DATA\n"
KEEL = "@relation r\n@attribute w real [0.0, 9.0]\n@attribute kind {a, b, c}\n@inputs w\n@outputs kind\n@data\n"
ROWS = "".join(f"{i % 7 / 4},{i % 5},{'cat' if i % 2 else 'dog'}\n" for i in range(40))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst", "zip"])
def test_a_compressed_table_is_the_table(tmp_path, ending):
    plain, packed = tmp_path / "plain.csv", tmp_path / f"plain.csv.{ending}"
    plain.write_text(TABLE)
    if ending == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("plain.csv", TABLE)
            archive.writestr("__MACOSX/._plain.csv", "x")
    elif ending == "zst":
        pa = pytest.importorskip("pyarrow")
        with pa.CompressedOutputStream(str(packed), "zstd") as stream:
            stream.write(TABLE.encode())
    else:
        compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[ending]
        packed.write_bytes(compress(TABLE.encode()))
    assert data.load(packed).fingerprint == data.load(plain).fingerprint


def test_parquet_excel_json_and_a_frame_are_the_same_table(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(40) % 7 / 4, "b": np.arange(40) % 5, "kind": [f"k{i % 3}" for i in range(40)]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_feather(tmp_path / "t.feather")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_json(tmp_path / "t.json")
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    wanted = data.load(tmp_path / "t.csv").fingerprint
    for ending in ("tsv", "parquet", "feather", "jsonl", "json", "xlsx"):
        assert data.load(tmp_path / f"t.{ending}").fingerprint == wanted, ending
    assert data.load(frame).fingerprint == wanted
    assert data.load(frame.to_dict("list")).fingerprint == wanted


def test_rows_are_counted_as_an_editor_does(tmp_path):
    (tmp_path / "t.csv").write_text("# made by hand\nx,label\n1,a\n\n2,b\n" + "3,a\n4,b\n" * 3)
    assert data.load(tmp_path / "t.csv").everything().origin.rows.tolist() == [3, 5, 6, 7, 8, 9, 10, 11]
    (tmp_path / "t.csv").write_text("# made by hand\nx,label\n1,a\n\n2\n")
    with pytest.raises(DataError, match=r"t.csv, row 5: 1 values, the header has 2"):
        data.load(tmp_path / "t.csv")


def test_another_encoding_is_read_by_option_only(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"x,label\n" + "1,café\n2,thé\n".encode("latin-1") * 5)
    with pytest.raises(DataError, match=r"row 2: must be UTF-8 text, .*--encoding"):
        data.load(path)
    assert data.load(path, encoding="latin-1").classes == ("café", "thé")


@pytest.mark.parametrize(
    ("cells", "delimiter", "wanted"),
    [
        (["1,5", "2", "1.250,25"], ";", [1.5, 2, 1250.25]),
        (["1,500", "2", "3"], ",", [1500, 2, 3]),
        (["1.234", "1,5"], ";", [1234, 1.5]),
        (["True", "False"], ",", [1, 0]),
        (["1 234", "2", "3"], ",", [1234, 2, 3]),
        (["(1,234.50)", "2", "(3)"], ",", [-1234.5, 2, -3]),
        (["12.50-", "2.25", "3"], ",", [-12.5, 2.25, 3]),
        (["\u22121.5", "2", "3"], ",", [-1.5, 2, 3]),
        (["1\u2019234.5", "2", "3"], ",", [1234.5, 2, 3]),
        (["\u0661\u0662\u066b\u0665", "\u0663", "\u0664"], ",", [12.5, 3, 4]),
        (["12.5 kg", "7 kg", "0.5 kg"], ",", [12.5, 7, 0.5]),
        (["3,5 km/h", "12,0 km/h", "7 km/h"], ";", [3.5, 12, 7]),
        (["EUR 1.234,50", "EUR -2,00", "EUR 3,00"], ";", [1234.5, -2, 3]),
        (["1970-01-03", "1970-01-02 12:00", "1970-01-01"], ",", [2, 1.5, 0]),
        (["03.01.1970", "02.01.1970", "01.01.1970"], ";", [2, 1, 0]),
    ],
)
def test_numbers_as_people_write_them(tmp_path, cells, delimiter, wanted):
    path = tmp_path / "t.csv"
    rows = [(f'"{cell}"', "ab"[i % 2]) for i, cell in enumerate(cells * 6)]
    path.write_text(f"x{delimiter}label\n" + "".join(f"{x}{delimiter}{y}\n" for x, y in rows))
    assert data.load(path).everything().inputs[: len(wanted), 0].tolist() == wanted


NUMBERS_AND = [f"{i}.5" for i in range(40)]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (["<0.5"] * 9, "holds numbers; '<0.5' (9 times) counts as a gap"),
        (["#DIV/0!", "unknown"] * 4, ""),
        ([f"~{i}" for i in range(9)], "is read as words: 9 of its 49 values are no numbers, such as '~0', '~1', '~2'"),
    ],
)
def test_texts_among_numbers_are_never_read_in_silence(others, said, tmp_path):
    cells = [*NUMBERS_AND, *others]
    rows = [f"{cell},{'ab'[i % 2]}" for i, cell in enumerate(cells)]
    found = data.load(write(tmp_path / "own.csv", "\n".join(["x,label", *rows])))
    assert any(said in note for note in found.reading.notes)
    values = found.everything().inputs["x"]
    assert values.isna().sum() == (0 if "words" in said else len(others))


@pytest.mark.parametrize("names", [["Room 1", "Room 2"], ["T1", "T2"], ["7 kg", "7 g"], ["01/02/2024", "03/04/2024"]])
def test_names_with_numbers_stay_names(names, tmp_path):
    rows = [f"{names[i // 2 % 2]},{i % 5},{'ab'[i % 2]}" for i in range(40)]
    found = data.load(write(tmp_path / "own.csv", "\n".join(["x,y,label", *rows])))
    assert set(found.everything().inputs["x"]) == set(names)


def test_many_different_words_are_pointed_out(tmp_path):
    rows = [f"{i % 24:02d}:{i % 60:02d},{i % 5},{'ab'[i % 2]}" for i in range(120)]
    found = data.load(write(tmp_path / "own.csv", "\n".join(["x,y,label", *rows])))
    assert any("different words; the 32 most frequent count" in note for note in found.reading.notes)


@pytest.mark.parametrize(("separator", "whole"), [("\t", ","), ("\t", "."), (";", ","), (";", ".")])
def test_a_leading_zero_tells_the_decimal_mark_of_all_columns(separator, whole, tmp_path):
    rows = [separator.join([f"0{whole}{250 + i}", f"{1 + i % 9}{whole}{100 + i}", "ab"[i % 2]]) for i in range(30)]
    write(tmp_path / "own.csv", "\n".join([separator.join(["sulphates", "density", "label"]), *rows]))
    inputs = data.load(tmp_path / "own.csv").everything().inputs
    assert inputs[:2].tolist() == [
        [pytest.approx(0.25), pytest.approx(1.1)],
        [pytest.approx(0.251), pytest.approx(2.101)],
    ]


def test_an_unclear_decimal_mark_is_asked(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("x\tlabel\n" + "1,234\ta\n2,345\tb\n" * 5)
    with pytest.raises(DataError, match="decimal comma or a separator of thousands"):
        data.load(path)


def test_fast_text_lines_are_texts(tmp_path):
    (tmp_path / "t.txt").write_text("".join(f"__label__{'ab'[i % 2]} some text {i}\n" for i in range(20)))
    found = data.load(tmp_path / "t.txt")
    assert (labels_of(found), found.train.inputs[0][:9]) == (["a", "b"] * 10, "some text")


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("report.csv", "Run 7,,\n,,\nw,h,label\n" + sample_lines("A,B,L"), ("w", "h")),
        ("device.csv", "Device: X100\nDate: 2024-01-01\n\nw;h;label\n" + sample_lines("A;B;L"), ("w", "h")),
        ("longer-header.csv", "w,h,label,\n" + sample_lines("A,B,L"), ("w", "h")),
        ("r.txt", '"w" "h" "label"\n' + sample_lines('"I" A B "L"'), ("w", "h")),
        ("weka.arff", WEKA + sample_lines("A,L"), ("w",)),
        ("keel.dat", KEEL + sample_lines("A, L"), ("w",)),
        ("lists.csv", "vector,label\n" + sample_lines('"[A, B]",L'), ("vector[0]", "vector[1]")),
        ("copies.csv", "w,target,target_name\n" + sample_lines("A,L,kind L"), ("w",)),
        ("weights.csv", "w,label,sample_weight\n" + sample_lines("A,L,0.B"), ("w",)),
        ("labels.csv", "w,étiquette\n" + sample_lines("A,L"), ("w",)),
        ("answers.csv", "w,rater_1,rater_2,gold\n" + sample_lines("A,L,L,L"), ("w",)),
    ],
)  # fmt: skip
def test_tables_of_reports_and_other_programs_are_read(tmp_path, name, content, columns):
    found = data.load(write(tmp_path / name, content))
    assert labels_of(found) == CLASSES
    assert found.reading.columns == columns


def test_rows_above_the_header_count_and_are_said(tmp_path):
    found = data.load(write(tmp_path / "report.csv", "Run 7,,\n,,\nw,h,label\n" + sample_lines("A,B,L")))
    assert found.everything().origin.rows[0] == 4
    assert [item.what for item in found.reading.skipped] == ["row 1"]


def test_quotes_behind_backslashes_belong_to_the_text(tmp_path):
    found = data.load(write(tmp_path / "dump.csv", "text,label\n" + sample_lines('"he said \\"T\\"",L')))
    assert found.everything().inputs[0] == f'he said "{TEXTS[0]}"'


def test_lists_of_numbers_that_were_cut_short_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"cut short with '\.\.\.'.*--drop 'vector'"):
        data.load(write(tmp_path / "cut.csv", "vector,label\n" + sample_lines('"[A 2 ... B]",L')))


@pytest.mark.parametrize("name", ["a9a", "heart.txt", "plain.svmlight"])
def test_svmlight_lines_keep_the_texts_of_their_labels(tmp_path, name):
    marks = "".join(
        f"{'+1' if label == 'a' else '-1'} 1:{a} 3:{b} # note\n" for label, (a, b) in zip(CLASSES, NUMBERS, strict=True)
    )
    found = data.load(write(tmp_path / name, marks))
    assert labels_of(found) == ["+1" if label == "a" else "-1" for label in CLASSES]
    assert found.everything().inputs[0].tolist() == [float(NUMBERS[0][0]), 0.0, float(NUMBERS[0][1])]
    assert found.everything().origin.rows.tolist() == list(range(1, COUNT + 1))
    with pytest.raises(DataError, match=r"row 2.*several labels"):
        data.load(write(tmp_path / name, marks.replace("\n-1", "\n1,2", 1)))


@pytest.mark.parametrize("ending", [".mat", ".npy", ".pkl", ".h5", ".dta", ".sav", ".rds", ".xls", ".db", ".pt"])
def test_forms_that_are_not_read_say_what_to_type(tmp_path, ending):
    with pytest.raises(DataError, match=r"not read; .*(type in|save it as)"):
        data.load(write(tmp_path / f"x{ending}", "?"))


def test_several_labels_of_fast_text_are_refused(tmp_path):
    with pytest.raises(DataError, match="line 1: has several labels"):
        data.load(write(tmp_path / "x.txt", sample_lines("__label__L __label__x T")))


def test_the_columns_of_excel_stand_below_a_title_on_the_sheet_with_the_table(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active["A1"] = "read me"
    sheet = book.create_sheet("data")
    for row in (
        ["Run 7"],
        [],
        ["w", "h", "label"],
        *([float(a), float(b), label] for label, (a, b) in zip(CLASSES, NUMBERS, strict=True)),
    ):
        sheet.append(row)
    memory = io.BytesIO()
    book.save(memory)
    (tmp_path / "x.xlsx").write_bytes(memory.getvalue())
    found = data.load(tmp_path / "x.xlsx")
    assert labels_of(found) == CLASSES
    assert {item.what for item in found.reading.skipped} == {"Sheet", "row 1"}


def test_the_columns_of_excel_stand_below_merged_names_of_groups(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    sheet = (book := openpyxl.Workbook()).active
    for row in (
        ["Report of the year"],
        [],
        ["Size", None, "Verdict", None],
        ["w", "h", "label", "by"],
        *([float(a), float(b), label, "ann"] for label, (a, b) in zip(CLASSES, NUMBERS, strict=True)),
    ):
        sheet.append(row)
    for cells in ("A1:D1", "A3:B3", "C3:D3"):
        sheet.merge_cells(cells)
    memory = io.BytesIO()
    book.save(memory)
    (tmp_path / "x.xlsx").write_bytes(memory.getvalue())
    found = data.load(tmp_path / "x.xlsx", drop=("by",))
    assert labels_of(found) == CLASSES
    assert found.everything().origin.rows[0] == 5


def test_an_unknown_delimiter_is_asked_for(tmp_path):
    path = table(
        tmp_path / "caret.csv", "a^b^label", [[place, place % 5, TOPICS[place]] for place in range(COUNT)], "^"
    )
    with pytest.raises(DataError, match=r"separated by '\^'\? then add --delimiter '\^'"):
        data.load(path)
    assert labels_of(data.load(path, delimiter="^")) == TOPICS


def test_texts_with_commas_are_no_numbers_in_json(tmp_path):
    records = [
        {"title": f"Title, {place}", "body": text, "words": place, "label": TOPICS[place]}
        for place, text in enumerate(MESSAGES)
    ]
    assert labels_of(data.load(json_lines(tmp_path / "news.jsonl", records))) == TOPICS


def test_numbers_with_a_unit_and_a_line_that_names_the_delimiter(tmp_path):
    rows = "".join(f"{i}%;${i},5;{('x', 'y')[i % 2]}\n" for i in range(20))
    found = data.load(write(tmp_path / "own.csv", "sep=;\nshare;price;label\n" + rows))
    np.testing.assert_array_equal(found.everything().inputs[:3], [[0, 0.5], [1, 1.5], [2, 2.5]])
    assert found.everything().origin.rows[0] == 3


def test_a_header_that_comes_again_is_no_sample_and_a_missing_one_is_said(tmp_path):
    twice = data.load(write(tmp_path / "twice.csv", "a,b,label\n" + ROWS + "a,b,label\n" + ROWS))
    assert len(twice.everything()) == 80
    assert [one.what for one in twice.reading.skipped] == ["row 42"]
    large = csv_table.read_csv(tmp_path / "twice.csv", ReadingOptions(), large=0)  # the way of large files
    assert large.count == 80
    with pytest.raises(DataError, match="has no header"):
        data.load(write(tmp_path / "bare.csv", "".join(f"mail {i},{('spam', 'ham')[i % 2]}\n" for i in range(9))))


@pytest.mark.parametrize(("separator", "mark"), [(";", ","), (",", ".")])
def test_measurements_with_decimals_are_not_taken_for_labels(separator, mark, tmp_path):
    """A column of classes with a name that nobody expects is found beside rounded measurements."""
    rows = [f"P{i:03d}{separator}{i % 30 / 100:.2f}{separator}{'ja' if i % 3 else 'nein'}" for i in range(300)]
    path = tmp_path / "befunde.csv"
    path.write_text("\n".join([separator.join(["Nr.", "Wert", "Befund"]), *(row.replace(".", mark) for row in rows)]))
    found = data.load(str(path))
    assert found.classes == ("ja", "nein")
    assert found.train.inputs.shape[1] == 1
